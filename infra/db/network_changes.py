"""Which hosts a change of the Network Service concerns. Counted in the change's own transaction, so that none is lost:
a host that was not told reads the number with its next report.

Whoever changes rules, groups, ports or what ports are in says so here.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import BindParameter, Select, bindparam, select
from sqlalchemy import delete as sql_delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from infra.db.statements import Lookup, run, table_of
from infra.db.tables.network import NetworkChangeRow, PortRow, PortSecurityGroupRow, SecurityGroupRuleRow
from infra.domain.router import GATEWAY_OWNER, INTERFACE_OWNER

_TABLE = table_of(NetworkChangeRow)
_BY_HOST = Lookup(NetworkChangeRow, "host")
_MARKED = "hosts whose network changed"
_FIRST = {"host": bindparam("of_host"), "change": 1}
_NEXT = {"change": _TABLE.c.change + 1}
_COUNT = {
    "sqlite": sqlite.insert(_TABLE).values(_FIRST).on_conflict_do_update(index_elements=["host"], set_=_NEXT),
    "postgresql": postgresql.insert(_TABLE).values(_FIRST).on_conflict_do_update(index_elements=["host"], set_=_NEXT),
}

_PORT, _LINK, _RULE = table_of(PortRow).c, table_of(PortSecurityGroupRow).c, table_of(SecurityGroupRuleRow).c
_HOSTS = (
    select(_PORT.host)
    .join(table_of(PortSecurityGroupRow), _LINK.port_id == _PORT.id)
    .where(_PORT.host != "")
    .distinct()
)
_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_IN = _HOSTS.where(_LINK.security_group_id.in_(_IDS))
_NAMING = _HOSTS.where(
    _LINK.security_group_id.in_(select(_RULE.security_group_id).where(_RULE.remote_group_id.in_(_IDS)))
)
_ROUTING = select(_PORT.host).where(_PORT.device_owner.in_((INTERFACE_OWNER, GATEWAY_OWNER))).distinct()
_OF_ROUTERS = _ROUTING.where(_PORT.device_id.in_(_IDS))
_OF_PORTS = select(_PORT.host).where(_PORT.id.in_(_IDS)).distinct()
_IN_NETWORK = _ROUTING.where(_PORT.network_id.in_(_IDS))


def mark(session: Session, hosts: Iterable[str]) -> None:
    """What these hosts should have of the network is another from this transaction on; once a host is enough."""
    before: set[str] = session.info.setdefault(_MARKED, set())
    statement = _COUNT[session.get_bind().dialect.name]
    # In the order of their names, so that transactions never wait for each other in a circle.
    for host in sorted(set(hosts) - before - {""}):
        run(session, statement, {"of_host": host})
        before.add(host)


def marked(session: Session) -> frozenset[str]:
    """Hosts that this transaction has changed something for."""
    return frozenset(session.info.get(_MARKED, ()))


def number(session: Session, host: str) -> int:
    """How many changes there were for this host."""
    row = _BY_HOST.first(session, host)
    return 0 if row is None else int(row.change)


def forget(session: Session, host: str) -> None:
    """The host is no more."""
    session.execute(sql_delete(NetworkChangeRow).where(col(NetworkChangeRow.host) == host))


def mark_groups(session: Session, group_ids: Collection[str]) -> None:
    """The rules of these groups changed: hosts with ports in them."""
    mark(session, _hosts(session, _IN, group_ids))


def mark_port(session: Session, hosts: Iterable[str], group_ids: Collection[str]) -> None:
    """A port came to these hosts, went from them or changed there; so did who is in these groups, for hosts with ports
    whose rules name them."""
    mark(session, {*hosts, *_hosts(session, _NAMING, group_ids)})


def mark_routers(session: Session, router_ids: Iterable[str | None]) -> None:
    """What these routers do is another: the hosts that they are on."""
    mark(session, _hosts(session, _OF_ROUTERS, {one for one in router_ids if one is not None}))


def mark_ports(session: Session, port_ids: Iterable[str | None]) -> None:
    """What leads to these ports is another: the hosts that they are on."""
    mark(session, _hosts(session, _OF_PORTS, {one for one in port_ids if one is not None}))


def mark_network(session: Session, network_id: str) -> None:
    """Routers in this network find it another: its MTU, or its gateways."""
    mark(session, _hosts(session, _IN_NETWORK, (network_id,)))


def mark_named(session: Session, group_id: str) -> None:
    """Rules that name this group go with it."""
    mark(session, _hosts(session, _NAMING, (group_id,)))


def _hosts(session: Session, statement: Select[tuple[str]], ids: Collection[str]) -> list[str]:
    return [row[0] for row in run(session, statement, {"ids": sorted(ids)})] if ids else []
