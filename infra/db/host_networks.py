"""What a host's networking should be: ports with their groups, rules and members, for the host that enforces it."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import BindParameter, Row, String, bindparam, cast, or_, select
from sqlmodel import Session

from infra.db import host_routers, network_changes
from infra.db.statements import run, table_of
from infra.db.tables.hosts import ClaimRow
from infra.db.tables.network import (
    AddressRow,
    PortRow,
    PortSecurityGroupRow,
    SecurityGroupRow,
    SecurityGroupRuleRow,
)
from infra.domain.host_network import AddressPair, HostNetwork, Rule, SecuredPort
from infra.network.security_rules import number_of

_PORT, _LINK, _ADDRESS = table_of(PortRow).c, table_of(PortSecurityGroupRow).c, table_of(AddressRow).c
_GROUP, _RULE, _CLAIM = table_of(SecurityGroupRow).c, table_of(SecurityGroupRuleRow).c, table_of(ClaimRow).c
_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_PORTS = select(_PORT.id, _PORT.mac_address, _PORT.port_security_enabled, _PORT.allowed_address_pairs).order_by(
    _PORT.id
)
_COMING = select(_CLAIM.server_id).where(_CLAIM.host == bindparam("of_host"))
_OF_HOST = _PORTS.where(or_(_PORT.host == bindparam("of_host"), (_PORT.bound_by != "") & _PORT.device_id.in_(_COMING)))
_OF_PORT = _PORTS.where(_PORT.id == bindparam("port_id"))
_GROUPS = (
    select(_LINK.port_id, _LINK.security_group_id, _GROUP.stateful)
    .join(table_of(SecurityGroupRow), _GROUP.id == _LINK.security_group_id)
    .where(_LINK.port_id.in_(_IDS))
    .order_by(_LINK.security_group_id)
)
_RULES = (
    select(
        _RULE.security_group_id, _RULE.direction, _RULE.ethertype, _RULE.protocol, _RULE.port_range_min,
        _RULE.port_range_max, _RULE.remote_ip_prefix, _RULE.remote_group_id,
    )
    .where(_RULE.security_group_id.in_(_IDS))
    .order_by(_RULE.id)
)  # fmt: skip
_FIXED = (
    select(_LINK.security_group_id, _ADDRESS.ip_address)
    .join(table_of(AddressRow), _ADDRESS.port_id == _LINK.port_id)
    .where(_LINK.security_group_id.in_(_IDS))
)
_PAIRED = (
    select(_LINK.security_group_id, _PORT.allowed_address_pairs)
    .join(table_of(PortRow), _PORT.id == _LINK.port_id)
    .where(_LINK.security_group_id.in_(_IDS), cast(_PORT.allowed_address_pairs, String) != "[]")
)


def of_host(session: Session, host: str) -> HostNetwork:
    """Of the ports that are bound to the host, and of those whose servers are on their way to it; with its routers."""
    # First: what is written meanwhile is read twice rather than never.
    change = network_changes.number(session, host)
    found = _read(session, change, run(session, _OF_HOST, {"of_host": host}).all())
    return found.model_copy(
        update={"routers": host_routers.of_host(session, host), "public": host_routers.public(session, host)}
    )


def of_port(session: Session, host: str, port_id: str) -> HostNetwork:
    """Of one port, for the host that is about to plug it."""
    change = network_changes.number(session, host)
    return _read(session, change, run(session, _OF_PORT, {"port_id": port_id}).all())


def _read(session: Session, change: int, ports: Collection[Row[Any]]) -> HostNetwork:
    groups: dict[str, list[Row[Any]]] = {port.id: [] for port in ports}
    for link in run(session, _GROUPS, {"ids": list(groups)}):
        groups[link.port_id].append(link)
    rules = _rules(session, {link.security_group_id for of_one in groups.values() for link in of_one})
    named = {rule.group for of_one in rules.values() for rule in of_one if rule.group is not None}
    return HostNetwork(
        change=change,
        ports=tuple(_port(port, groups[port.id]) for port in ports),
        rules=rules,
        members=_members(session, named),
    )


def _port(row: Row[Any], groups: Collection[Row[Any]]) -> SecuredPort:
    return SecuredPort(
        id=row.id,
        secured=row.port_security_enabled,
        stateful=all(group.stateful for group in groups),
        groups=tuple(group.security_group_id for group in groups),
        pairs=tuple(
            AddressPair(mac_address=pair.get("mac_address", row.mac_address), prefix=pair["ip_address"])
            for pair in row.allowed_address_pairs
        ),
    )


def _rules(session: Session, group_ids: Collection[str]) -> dict[str, tuple[Rule, ...]]:
    found: dict[str, tuple[Rule, ...]] = dict.fromkeys(sorted(group_ids), ())
    for row in run(session, _RULES, _ids(group_ids)) if group_ids else ():
        found[row.security_group_id] += (
            Rule(
                direction=row.direction,
                ethertype=row.ethertype,
                protocol=number_of(row.protocol, row.ethertype),
                first=row.port_range_min,
                last=row.port_range_max,
                prefix=row.remote_ip_prefix,
                group=row.remote_group_id,
            ),
        )
    return found


def _members(session: Session, group_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Wherever the ports are, and whether they are bound or not."""
    found: dict[str, set[str]] = {group_id: set() for group_id in sorted(group_ids)}
    if not group_ids:
        return {}
    for row in run(session, _FIXED, _ids(group_ids)):
        found[row.security_group_id].add(row.ip_address)
    for row in run(session, _PAIRED, _ids(group_ids)):
        found[row.security_group_id].update(pair["ip_address"] for pair in row.allowed_address_pairs)
    return {group_id: tuple(sorted(addresses)) for group_id, addresses in found.items()}


def _ids(ids: Iterable[str]) -> Mapping[str, Any]:
    return {"ids": sorted(ids)}
