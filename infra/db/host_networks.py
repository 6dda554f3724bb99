"""What a host's networking should be: ports with their groups, rules and members, for the host that enforces it."""

from collections.abc import Collection, Iterable, Sequence

from sqlmodel import Session, col, or_, select

from infra.db import host_routers, network_changes
from infra.db.network_rows import within
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


def of_host(session: Session, host: str) -> HostNetwork:
    """Of the ports that are bound to the host, and of those whose servers are on their way to it; with its routers."""
    # First: what is written meanwhile is read twice rather than never.
    change = network_changes.number(session, host)
    coming = select(ClaimRow.server_id).where(ClaimRow.host == host)
    here = or_(col(PortRow.host) == host, (col(PortRow.bound_by) != "") & col(PortRow.device_id).in_(coming))
    found = _read(session, change, session.exec(select(PortRow).where(here).order_by(col(PortRow.id))).all())
    return found.model_copy(update={"routers": host_routers.of_host(session, host)})


def of_port(session: Session, host: str, port_id: str) -> HostNetwork:
    """Of one port, for the host that is about to plug it."""
    change = network_changes.number(session, host)
    return _read(session, change, session.exec(select(PortRow).where(PortRow.id == port_id)).all())


def _read(session: Session, change: int, ports: Sequence[PortRow]) -> HostNetwork:
    groups = _groups_of(session, [port.id for port in ports])
    used = {group for of_one in groups.values() for group in of_one}
    in_use = within(SecurityGroupRow.id, sorted(used))
    stateless = set(session.exec(select(SecurityGroupRow.id).where(in_use, ~col(SecurityGroupRow.stateful))))
    rules = _rules(session, used)
    named = {rule.group for of_one in rules.values() for rule in of_one if rule.group is not None}
    return HostNetwork(
        change=change,
        ports=tuple(_port(port, groups[port.id], stateless) for port in ports),
        rules=rules,
        members=_members(session, named),
    )


def _port(row: PortRow, groups: tuple[str, ...], stateless: Collection[str]) -> SecuredPort:
    return SecuredPort(
        id=row.id,
        secured=row.port_security_enabled,
        stateful=not any(group in stateless for group in groups),
        groups=groups,
        pairs=tuple(
            AddressPair(mac_address=pair.get("mac_address", row.mac_address), prefix=pair["ip_address"])
            for pair in row.allowed_address_pairs
        ),
    )


def _groups_of(session: Session, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = dict.fromkeys(ids, ())
    query = select(PortSecurityGroupRow).where(within(PortSecurityGroupRow.port_id, ids))
    for link in session.exec(query.order_by(col(PortSecurityGroupRow.security_group_id))):
        found[link.port_id] += (link.security_group_id,)
    return found


def _rules(session: Session, group_ids: Iterable[str]) -> dict[str, tuple[Rule, ...]]:
    ids = sorted(group_ids)
    found: dict[str, tuple[Rule, ...]] = dict.fromkeys(ids, ())
    query = select(SecurityGroupRuleRow).where(within(SecurityGroupRuleRow.security_group_id, ids))
    for row in session.exec(query.order_by(col(SecurityGroupRuleRow.id))):
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


def _members(session: Session, group_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Wherever the ports are, and whether they are bound or not."""
    ids = sorted(group_ids)
    found: dict[str, set[str]] = {group_id: set() for group_id in ids}
    in_groups = within(PortSecurityGroupRow.security_group_id, ids)
    fixed = select(PortSecurityGroupRow.security_group_id, AddressRow.ip_address).join(
        AddressRow, col(AddressRow.port_id) == col(PortSecurityGroupRow.port_id)
    )
    for group_id, address in session.exec(fixed.where(in_groups)):
        found[group_id].add(address)
    paired = select(PortSecurityGroupRow.security_group_id, PortRow.allowed_address_pairs).join(
        PortRow, col(PortRow.id) == col(PortSecurityGroupRow.port_id)
    )
    for group_id, pairs in session.exec(paired.where(in_groups)):
        found[group_id].update(pair["ip_address"] for pair in pairs)
    return {group_id: tuple(sorted(addresses)) for group_id, addresses in found.items()}
