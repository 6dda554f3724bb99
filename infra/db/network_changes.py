"""Which hosts a change of the Network Service concerns. Counted in the change's own transaction, so that none is lost:
a host that was not told reads the number with its next report.

Whoever changes rules, groups, ports or what ports are in says so here.
"""

from collections.abc import Iterable

from sqlalchemy import bindparam
from sqlalchemy import delete as sql_delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from infra.db.network_rows import within
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


def mark_groups(session: Session, group_ids: Iterable[str]) -> None:
    """The rules of these groups changed: hosts with ports in them."""
    ids = tuple(group_ids)
    if ids:
        mark(session, session.exec(_hosts().where(within(PortSecurityGroupRow.security_group_id, ids))))


def mark_port(session: Session, hosts: Iterable[str], group_ids: Iterable[str]) -> None:
    """A port came to these hosts, went from them or changed there; so did who is in these groups, for hosts with ports
    whose rules name them."""
    mark(session, {*hosts, *_naming(session, tuple(group_ids))})


def mark_routers(session: Session, router_ids: Iterable[str | None]) -> None:
    """What these routers do is another: the hosts that they are on."""
    ids = sorted({one for one in router_ids if one is not None})
    if ids:
        own = col(PortRow.device_owner).in_((INTERFACE_OWNER, GATEWAY_OWNER))
        mark(session, session.exec(select(PortRow.host).where(within(PortRow.device_id, ids), own).distinct()))


def mark_network(session: Session, network_id: str) -> None:
    """Routers in this network find it another: its MTU, or its gateways."""
    own = col(PortRow.device_owner).in_((INTERFACE_OWNER, GATEWAY_OWNER))
    mark(session, session.exec(select(PortRow.host).where(PortRow.network_id == network_id, own).distinct()))


def mark_named(session: Session, group_id: str) -> None:
    """Rules that name this group go with it."""
    mark(session, _naming(session, (group_id,)))


def _naming(session: Session, group_ids: tuple[str, ...]) -> Iterable[str]:
    if not group_ids:
        return ()
    naming = select(SecurityGroupRuleRow.security_group_id).where(
        within(SecurityGroupRuleRow.remote_group_id, group_ids)
    )
    return session.exec(_hosts().where(col(PortSecurityGroupRow.security_group_id).in_(naming)))


def _hosts() -> SelectOfScalar[str]:
    joined = select(PortRow.host).join(PortSecurityGroupRow, col(PortSecurityGroupRow.port_id) == col(PortRow.id))
    return joined.where(col(PortRow.host) != "").distinct()
