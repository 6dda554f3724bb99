"""Subnets: transactions. A subnet that serves DHCP over IPv4 has a port of its own for it, made and removed with it."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, false, or_, true
from sqlmodel import Session, col, select

from infra.db import addresses, network_changes, network_quotas, port_rows
from infra.db.network_rows import (
    Selection,
    change,
    columns_of,
    drop_tags,
    matches,
    network_row,
    rows_of,
    tags_of,
    within,
)
from infra.db.statements import Lookup, run
from infra.db.tables.network import AddressRow, NetworkRow, PortRow, SubnetRow
from infra.domain.errors import BadRequest, Conflict, NotFound
from infra.domain.network import AllocationPool, NetworkQuota, Subnet
from infra.domain.router import INTERFACE_OWNER
from infra.network import ipam

COLUMNS = columns_of(
    SubnetRow,
    "id", "project_id", "network_id", "name", "description", "ip_version", "cidr", "gateway_ip",
    "enable_dhcp", "created_at", "updated_at", "revision",
)  # fmt: skip
_DHCP_ADDRESSES = (
    select(AddressRow.subnet_id, AddressRow.ip_address)
    .join(PortRow, col(AddressRow.port_id) == col(PortRow.id))
    .where(
        col(PortRow.device_id).in_(bindparam("devices", expanding=True)),
        PortRow.device_owner == network_quotas.DHCP_OWNER,
    )
)
_BY_NETWORK = Lookup(SubnetRow, "network_id", order_by=("created_at", "id"))


def create(session: Session, subnet: Subnet, quota: NetworkQuota) -> Subnet:
    """Make a subnet, and its DHCP port where it has one.

    Raises:
        NotFound: no such network.
        BadRequest: the CIDR overlaps with another subnet of the network.
        Conflict: OverQuota; IpAddressGenerationFailure if the pools leave DHCP no address.
    """
    network_row(session, subnet.network_id, lock="change")
    network_quotas.reserve(session, subnet.project_id, "subnet", quota)
    cidr = ipam.network_of(subnet.cidr, subnet.ip_version)
    for other in _of_network(session, subnet.network_id):
        if cidr.overlaps(ipam.network_of(other.cidr, other.ip_version)):
            raise BadRequest(
                f"Invalid input for operation: Requested subnet with cidr: {cidr} for network: {subnet.network_id} "
                f"overlaps with another subnet.",
                kind="InvalidInput",
            )
    row = SubnetRow(**subnet.model_dump(mode="json", exclude={"created_at", "updated_at", "tags"}), **_times(subnet))
    session.add(row)
    session.flush()
    _serve_dhcp(session, row)
    network_changes.mark_network(session, row.network_id)
    return _models(session, [row])[0]


def get(session: Session, subnet_id: str) -> Subnet:
    """Raises NotFound."""
    return _models(session, [row_of(session, subnet_id)])[0]


def get_many(session: Session, ids: Sequence[str]) -> dict[str, Subnet]:
    """Those of ``ids`` that exist."""
    if not ids:
        return {}
    rows = session.exec(select(SubnetRow).where(within(SubnetRow.id, ids))).all()
    return {subnet.id: subnet for subnet in _models(session, rows)}


def of_network(session: Session, network_id: str) -> list[Subnet]:
    """Without their tags, in one statement; oldest first."""
    return [Subnet(**row._asdict()) for row in _BY_NETWORK.all(session, network_id)]


def find(session: Session, selection: Selection) -> list[Subnet]:
    """Subnets of the project that looks, and of shared networks."""
    conditions = matches(COLUMNS, selection.filters)
    on_shared = select(NetworkRow.id).where(
        col(NetworkRow.id) == col(SubnetRow.network_id), col(NetworkRow.shared) == true()
    )
    if "shared" in selection.filters:
        wanted = [on_shared.exists() if value else ~on_shared.exists() for value in selection.filters["shared"]]
        conditions.append(or_(false(), *wanted))
    if selection.visible_to is not None:
        conditions.append(or_(col(SubnetRow.project_id) == selection.visible_to, on_shared.exists()))
    return _models(session, rows_of(session, SubnetRow, COLUMNS, conditions, selection.page))


def update(session: Session, subnet_id: str, changes: Mapping[str, Any]) -> Subnet:
    """Change a subnet; gateway and pools are checked together, and the DHCP port follows ``enable_dhcp``.

    Raises:
        NotFound: there is none.
        BadRequest: gateway or pools do not fit.
        Conflict: no address left for DHCP; GatewayIpInUse: a router is at the gateway address.
    """
    row = row_of(session, subnet_id, lock=True)
    wanted = dict(changes)
    cidr = ipam.network_of(row.cidr, row.ip_version)
    gateway = wanted.get("gateway_ip", row.gateway_ip)
    if "gateway_ip" in wanted and gateway is not None:
        wanted["gateway_ip"] = gateway = ipam.check_gateway(cidr, gateway)
    if gateway != row.gateway_ip:
        _check_no_router(session, row)
        network_changes.mark_network(session, row.network_id)
    if "allocation_pools" in wanted or "gateway_ip" in wanted:
        pools = [AllocationPool.model_validate(pool) for pool in wanted.get("allocation_pools", row.allocation_pools)]
        wanted["allocation_pools"] = [pool.model_dump() for pool in ipam.check_pools(cidr, pools, gateway)]
    for name in ("host_routes", "dns_nameservers"):
        if name in wanted:
            wanted[name] = [item if isinstance(item, str) else item.model_dump() for item in wanted[name]]
    if wanted.get("enable_dhcp"):
        check_dhcp(cidr)
    change(row, wanted)
    session.add(row)
    session.flush()
    _serve_dhcp(session, row)
    return _models(session, [row])[0]


def delete(session: Session, subnet_id: str) -> None:
    """Remove a subnet and its DHCP port.

    Raises:
        NotFound: there is none.
        Conflict: SubnetInUse: ports have addresses in it.
    """
    row = row_of(session, subnet_id, lock=True)
    used = session.exec(
        select(PortRow.id)
        .join(AddressRow, col(AddressRow.port_id) == col(PortRow.id))
        .where(AddressRow.subnet_id == subnet_id, PortRow.device_owner != network_quotas.DHCP_OWNER)
        .limit(1)
    ).first()
    if used is not None:
        raise Conflict(
            f"Unable to complete operation on subnet {subnet_id}: One or more ports have an IP allocation from this "
            f"subnet.",
            kind="SubnetInUse",
        )
    remove(session, row)


def remove(session: Session, row: SubnetRow) -> None:
    """Delete a subnet that no port but the DHCP port uses."""
    port_rows.remove(session, _dhcp_ports(session, row.id))
    drop_tags(session, [row.id])
    network_changes.mark_network(session, row.network_id)
    session.delete(row)
    session.flush()


def check_dhcp(cidr: ipam.IpNetwork) -> None:
    """Raises BadRequest where a subnet is too small for a DHCP server beside its hosts."""
    if cidr.version == 4 and cidr.prefixlen > 30:
        raise BadRequest(
            "Invalid input for operation: Subnets with prefix length /32 or /31 are not supported if enable_dhcp is "
            "True.",
            kind="InvalidInput",
        )


def dhcp_address(session: Session, subnet_ids: Sequence[str]) -> dict[str, str]:
    """Address of the DHCP port, by subnet, where there is one."""
    if not subnet_ids:
        return {}
    found = run(session, _DHCP_ADDRESSES, {"devices": [_dhcp_device(one) for one in subnet_ids]})
    return {row.subnet_id: row.ip_address for row in found}


def _check_no_router(session: Session, row: SubnetRow) -> None:
    port_id = session.exec(
        select(PortRow.id)
        .join(AddressRow, col(AddressRow.port_id) == col(PortRow.id))
        .where(
            AddressRow.subnet_id == row.id,
            AddressRow.ip_address == row.gateway_ip,
            PortRow.device_owner == INTERFACE_OWNER,
        )
    ).first()
    if port_id is not None:
        message = f"Current gateway ip {row.gateway_ip} already in use by port {port_id}. Unable to update."
        raise Conflict(message, kind="GatewayIpInUse")


def _serve_dhcp(session: Session, row: SubnetRow) -> None:
    existing = _dhcp_ports(session, row.id)
    if not (row.enable_dhcp and row.ip_version == 4):
        port_rows.remove(session, existing)
        return
    if existing:
        return
    port_id = port_rows.add_own(
        session, row.project_id, row.network_id, network_quotas.DHCP_OWNER, _dhcp_device(row.id)
    )
    if not addresses.take_lowest(session, row, port_id, 0):
        raise addresses.exhausted(row.network_id)


def _dhcp_device(subnet_id: str) -> str:
    return f"dhcp-{subnet_id}"


def _dhcp_ports(session: Session, subnet_id: str) -> list[str]:
    query = select(PortRow.id).where(PortRow.device_id == _dhcp_device(subnet_id))
    return list(session.exec(query.where(PortRow.device_owner == network_quotas.DHCP_OWNER)))


def row_of(session: Session, subnet_id: str, *, lock: bool = False) -> SubnetRow:
    """The row, for this service's own transactions. Raises NotFound."""
    row = session.get(SubnetRow, subnet_id, with_for_update=lock or None)
    if row is None:
        raise NotFound(f"Subnet {subnet_id} could not be found.", kind="SubnetNotFound")
    return row


def _of_network(session: Session, network_id: str) -> Sequence[SubnetRow]:
    return session.exec(select(SubnetRow).where(SubnetRow.network_id == network_id)).all()


def _times(subnet: Subnet) -> dict[str, Any]:
    return {"created_at": subnet.created_at, "updated_at": subnet.updated_at}


def _models(session: Session, rows: Sequence[SubnetRow]) -> list[Subnet]:
    tags = tags_of(session, [row.id for row in rows])
    return [Subnet(**row.model_dump(), tags=tags[row.id]) for row in rows]
