"""Floating IPs: transactions. An address of an external network that a project holds, and what it leads to."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session, col, select

from infra.db import addresses, network_changes, network_quotas, port_rows, ports, router_gateways, routers
from infra.db.floating_ip_rows import NOWHERE, drop
from infra.db.network_rows import (
    Selection,
    change,
    columns_of,
    insert,
    matches,
    network_row,
    rows_of,
    tags_of,
    within,
)
from infra.db.tables.network import AddressRow, NetworkRow, PortRow, SubnetRow
from infra.db.tables.routing import FloatingIpRow, RouterRow
from infra.domain.errors import BadRequest, Conflict, NotFound
from infra.domain.network import AddressWish, NetworkQuota, Port
from infra.domain.router import FLOATING_OWNER, INTERFACE_OWNER, FloatingIp

COLUMNS = columns_of(
    FloatingIpRow,
    "id", "project_id", "description", "floating_network_id", "floating_ip_address", "port_id", "fixed_ip_address",
    "router_id", "status", "created_at", "updated_at", "revision",
)  # fmt: skip


def create(session: Session, new: FloatingIp, quota: NetworkQuota, *, subnet_id: str | None = None) -> FloatingIp:
    """Hold an address, and have it lead to ``new.port_id`` where that is set.

    Args:
        new: ``floating_ip_address`` empty takes the next one that is free.
        subnet_id: of the external network; None for any.

    Raises:
        NotFound: no such network or port, or no router leads from the one to the other.
        BadRequest: the network is not external or has no such addresses, or the port has no such fixed IP.
        Conflict: OverQuota; the address is in use, or none is left; the fixed IP has a floating IP there.
    """
    network = network_row(session, new.floating_network_id, lock="use")
    if not network.external:
        raise _refused(f"Network {network.id} is not a valid external network")
    network_quotas.reserve(session, new.project_id, "floatingip", quota)
    port_id = port_rows.add_own(session, "", network.id, FLOATING_OWNER, new.id, status="N/A")
    address = _take(session, network, port_id, new.floating_ip_address or None, subnet_id)
    values = new.model_dump(exclude={"tags", "floating_ip_address"}) | NOWHERE
    insert(session, FloatingIpRow(**values, floating_ip_address=address, floating_port_id=port_id))
    row = row_of(session, new.id, lock=True)
    if new.port_id is not None:
        _lead(session, row, new.port_id, new.fixed_ip_address)
    session.flush()
    return _models(session, [row])[0]


def get(session: Session, floating_ip_id: str) -> FloatingIp:
    """Raises NotFound."""
    return _models(session, [row_of(session, floating_ip_id)])[0]


def find(session: Session, selection: Selection) -> list[FloatingIp]:
    """Floating IPs of the project that looks."""
    conditions = matches(COLUMNS, selection.filters)
    if selection.visible_to is not None:
        conditions.append(COLUMNS["project_id"] == selection.visible_to)
    return _models(session, rows_of(session, FloatingIpRow, COLUMNS, conditions, selection.page))


def of_ports(session: Session, port_ids: Sequence[str]) -> dict[str, list[FloatingIp]]:
    """Floating IPs by the port that they lead to."""
    found: dict[str, list[FloatingIp]] = {port_id: [] for port_id in port_ids}
    if port_ids:
        query = select(FloatingIpRow).where(within(FloatingIpRow.port_id, port_ids))
        for row in session.exec(query.order_by(col(FloatingIpRow.created_at), col(FloatingIpRow.id))):
            assert row.port_id is not None
            found[row.port_id].append(FloatingIp(**row.model_dump()))
    return found


def update(session: Session, floating_ip_id: str, changes: Mapping[str, Any]) -> FloatingIp:
    """Change a floating IP; ``port_id`` None leads it nowhere, and another ``fixed_ip_address`` is the same port's.

    Raises:
        NotFound, BadRequest, Conflict: as ``create``.
    """
    row = row_of(session, floating_ip_id, lock=True)
    plain = dict(changes)
    fixed = plain.pop("fixed_ip_address", None)
    port_id = plain.pop("port_id", row.port_id if fixed is not None else None)
    if port_id is not None:
        _lead(session, row, port_id, fixed)
    elif fixed is not None:
        raise _refused("fixed_ip_address cannot be specified without a port_id")
    elif "port_id" in changes:
        network_changes.mark_routers(session, [row.router_id])
        network_changes.mark_ports(session, [row.port_id])
        change(row, NOWHERE)
    change(row, plain)
    session.add(row)
    session.flush()
    return _models(session, [row])[0]


def delete(session: Session, floating_ip_id: str) -> None:
    """Give the address back. Raises NotFound."""
    row_of(session, floating_ip_id, lock=True)
    port_rows.remove(session, drop(session, col(FloatingIpRow.id) == floating_ip_id))


def row_of(session: Session, floating_ip_id: str, *, lock: bool = False) -> FloatingIpRow:
    """The row, for this service's own transactions. Raises NotFound."""
    row = session.get(FloatingIpRow, floating_ip_id, with_for_update=lock or None, populate_existing=lock)
    if row is None:
        raise NotFound(f"Floating IP {floating_ip_id} could not be found", kind="FloatingIPNotFound")
    return row


def _take(session: Session, network: NetworkRow, port_id: str, address: str | None, subnet_id: str | None) -> str:
    query = select(SubnetRow).where(SubnetRow.network_id == network.id, SubnetRow.ip_version == 4)
    of_four = session.exec(query.order_by(col(SubnetRow.created_at), col(SubnetRow.id))).all()
    if not of_four:
        raise _refused(f"Network {network.id} does not contain any IPv4 subnet")
    if address is not None:
        wish = AddressWish(subnet_id=subnet_id, ip_address=address)
        router_gateways.check_not_gateway(session, network.id, (wish,))
        return addresses.allocate(session, network.id, port_id, (wish,))[0].ip_address
    if subnet_id is not None:
        return addresses.allocate(session, network.id, port_id, (AddressWish(subnet_id=subnet_id),))[0].ip_address
    for subnet in of_four:
        taken = addresses.take_lowest(session, subnet, port_id, 0)
        if taken is not None:
            return taken.ip_address
    raise addresses.exhausted(network.id)


def _lead(session: Session, row: FloatingIpRow, port_id: str, fixed_ip_address: str | None) -> None:
    """Have a floating IP lead to a port. The port's row and the router's are held, so that neither goes meanwhile."""
    ports.row_of(session, port_id, lock=True)
    port = ports.get(session, port_id)
    fixed = _fixed(port, fixed_ip_address)
    taken = select(FloatingIpRow.id).where(
        FloatingIpRow.port_id == port_id, FloatingIpRow.fixed_ip_address == fixed, FloatingIpRow.id != row.id
    )
    other = session.exec(taken).first()
    if other is not None:
        raise Conflict(
            f"Cannot associate floating IP {row.floating_ip_address} ({row.id}) with port {port_id} using fixed IP "
            f"{fixed}, as that fixed IP already has a floating IP on external network {row.floating_network_id}.",
            kind="FloatingIPPortAlreadyAssociated",
        )
    subnet_id = next(ip.subnet_id for ip in port.fixed_ips if ip.ip_address == fixed)
    router_id = _router(session, row.floating_network_id, subnet_id)
    if router_id is not None:
        routers.row_of(session, router_id, lock=True)
    if router_id is None or router_id != _router(session, row.floating_network_id, subnet_id):
        raise NotFound(
            f"External network {row.floating_network_id} is not reachable from subnet {subnet_id}. Therefore, cannot "
            f"associate Port {port_id} with a Floating IP.",
            kind="ExternalGatewayForFloatingIPNotFound",
        )
    network_changes.mark_routers(session, [row.router_id, router_id])
    network_changes.mark_ports(session, [row.port_id, port_id])
    leads = {"port_id": port_id, "fixed_ip_address": fixed, "router_id": router_id, "status": "ACTIVE"}
    change(row, leads)
    session.add(row)


def _fixed(port: Port, wanted: str | None) -> str:
    of_four = [ip.ip_address for ip in port.fixed_ips if ipaddress.ip_address(ip.ip_address).version == 4]
    if wanted is not None:
        if wanted not in of_four:
            raise _refused(f"Port {port.id} does not have fixed ip {wanted} of IPv4")
        return wanted
    if not of_four:
        raise _refused(f"Cannot add floating IP to port {port.id} that has no fixed IPv4 addresses")
    if len(of_four) > 1:
        raise _refused(
            f"Port {port.id} has multiple fixed IPv4 addresses. Must provide a specific IPv4 address when assigning a "
            f"floating IP"
        )
    return of_four[0]


def _router(session: Session, floating_network_id: str, subnet_id: str) -> str | None:
    """The router from a subnet to an external network: the one at the subnet's gateway address, or the oldest."""
    outside = select(PortRow.id).where(PortRow.network_id == floating_network_id)
    rows = session.exec(
        select(RouterRow.id, AddressRow.ip_address)
        .join(PortRow, col(PortRow.device_id) == col(RouterRow.id))
        .join(AddressRow, col(AddressRow.port_id) == col(PortRow.id))
        .where(
            PortRow.device_owner == INTERFACE_OWNER,
            AddressRow.subnet_id == subnet_id,
            col(RouterRow.gateway_port_id).in_(outside),
        )
        .order_by(col(RouterRow.created_at), col(RouterRow.id))
    ).all()
    gateway = session.exec(select(SubnetRow.gateway_ip).where(SubnetRow.id == subnet_id)).first()
    at_gateway = [router_id for router_id, address in rows if address == gateway]
    return next(iter([*at_gateway, *(router_id for router_id, _ in rows)]), None)


def _refused(why: str) -> BadRequest:
    return BadRequest(f"Bad floatingip request: {why}.", kind="BadRequest")


def _models(session: Session, rows: Sequence[FloatingIpRow]) -> list[FloatingIp]:
    tags = tags_of(session, [row.id for row in rows])
    return [FloatingIp(**row.model_dump(), tags=tags[row.id]) for row in rows]
