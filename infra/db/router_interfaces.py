"""A router's interfaces: its ports on the networks of projects."""

import ipaddress
from collections.abc import Collection, Sequence

from sqlmodel import Session, col, select
from sqlmodel.sql.expression import Select

from infra.db import addresses, host_routers, network_changes, network_quotas, port_bindings, port_rows, ports, subnets
from infra.db.network_rows import network_row, touch, within
from infra.db.tables.network import AddressRow, PortRow, SubnetRow
from infra.db.tables.routing import FloatingIpRow, RouterRow
from infra.domain.errors import BadRequest, Conflict, NotFound
from infra.domain.network import AddressWish, FixedIp, NetworkQuota, Port
from infra.domain.router import GATEWAY_OWNER, INTERFACE_OWNER, RouterInterface


def add_by_subnet(session: Session, row: RouterRow, subnet_id: str, quota: NetworkQuota) -> RouterInterface:
    """Put a router, whose row is locked, at the gateway address of a subnet.

    Raises:
        NotFound: no such subnet.
        BadRequest: the subnet has no gateway address, or overlaps with one that the router has.
        Conflict: the address is in use; OverQuota.
    """
    subnet = subnets.row_of(session, subnet_id)
    network = network_row(session, subnet.network_id, lock="use")
    if subnet.gateway_ip is None:
        raise _refused("Subnet for router interface must have a gateway IP")
    check_apart(session, row.id, [subnet_id])
    network_quotas.reserve(session, row.project_id, "port", quota)
    port_id = port_rows.add_own(session, row.project_id, network.id, INTERFACE_OWNER, row.id)
    wish = AddressWish(subnet_id=subnet_id, ip_address=subnet.gateway_ip)
    addresses.allocate(session, network.id, port_id, (wish,))
    return _changed(session, row, ports.get(session, port_id))


def add_by_port(session: Session, row: RouterRow, port_id: str) -> RouterInterface:
    """Give a port that nobody uses to a router, whose row is locked.

    Raises:
        NotFound: no such port.
        BadRequest: it has no address, more than one of IPv4, or one in a subnet that overlaps with the router's.
        Conflict: PortInUse.
    """
    port_row = ports.row_of(session, port_id, lock=True)
    if port_row.device_id:
        raise port_bindings.in_use(port_id, port_row.network_id, port_row.device_id)
    port = ports.get(session, port_id)
    if not port.fixed_ips:
        raise _refused("Router port must have at least one fixed IP")
    if sum(ipaddress.ip_address(ip.ip_address).version == 4 for ip in port.fixed_ips) > 1:
        raise _refused("Cannot have multiple IPv4 subnets on router port")
    check_apart(session, row.id, [ip.subnet_id for ip in port.fixed_ips])
    # What it forwards comes from other addresses than its own: no security group can hold for it.
    changes = {"device_id": row.id, "device_owner": INTERFACE_OWNER, "status": "ACTIVE", "port_security_enabled": False}
    return _changed(session, row, ports.update(session, port_id, {**changes, "security_group_ids": ()}))


def remove(session: Session, row: RouterRow, port_id: str | None, subnet_id: str | None) -> RouterInterface:
    """Take an interface from a router, whose row is locked, and delete its port; named by port, subnet or both.

    Raises:
        NotFound: the router has no such interface.
        Conflict: floating IPs or routes need it, or port and subnet are not of one interface.
    """
    port = _named(session, row.id, port_id, subnet_id)
    subnet_ids = [ip.subnet_id for ip in port.fixed_ips]
    if subnet_id is not None and subnet_id not in subnet_ids:
        message = f"Subnet on port {port.id} does not match the requested subnet {subnet_id}."
        raise Conflict(message, kind="SubnetMismatchForPort")
    _check_unused(session, row, subnet_ids)
    network_changes.mark_routers(session, [row.id])
    port_rows.remove(session, [port.id])
    return _changed(session, row, port)


def ports_of(session: Session, router_id: str) -> list[Port]:
    """Interfaces, oldest first."""
    query = select(PortRow).where(PortRow.device_id == router_id, PortRow.device_owner == INTERFACE_OWNER)
    return port_rows.models(session, session.exec(query.order_by(col(PortRow.created_at), col(PortRow.id))).all())


def addresses_of(session: Session, router_id: str) -> list[FixedIp]:
    """Of its interfaces and its gateway."""
    rows = session.exec(_attached(router_id)).all()
    return [FixedIp(subnet_id=address.subnet_id, ip_address=address.ip_address) for address, _ in rows]


def subnets_of(session: Session, router_id: str, *, but: str | None = None) -> list[SubnetRow]:
    """Subnets that its interfaces and its gateway are on; ``but`` this port."""
    return [subnet for address, subnet in session.exec(_attached(router_id)).all() if address.port_id != but]


def check_apart(session: Session, router_id: str, subnet_ids: Sequence[str], *, but: str | None = None) -> None:
    """May a router have these subnets beside those it has?

    Args:
        but: the port that has them already.

    Raises:
        BadRequest: it has one of them, or one that overlaps.
    """
    have = subnets_of(session, router_id, but=but)
    for subnet in session.exec(select(SubnetRow).where(within(SubnetRow.id, subnet_ids))).all():
        for other in have:
            if other.id == subnet.id:
                raise _refused(f"Router already has a port on subnet {subnet.id}")
            if ipaddress.ip_network(subnet.cidr).overlaps(ipaddress.ip_network(other.cidr)):
                raise _refused(
                    f"Cidr {subnet.cidr} of subnet {subnet.id} overlaps with cidr {other.cidr} of subnet {other.id}"
                )


def _attached(router_id: str) -> Select[AddressRow, SubnetRow]:
    return (
        select(AddressRow, SubnetRow)
        .join(PortRow, col(AddressRow.port_id) == col(PortRow.id))
        .join(SubnetRow, col(SubnetRow.id) == col(AddressRow.subnet_id))
        .where(PortRow.device_id == router_id, col(PortRow.device_owner).in_((INTERFACE_OWNER, GATEWAY_OWNER)))
    )


def _named(session: Session, router_id: str, port_id: str | None, subnet_id: str | None) -> Port:
    for port in ports_of(session, router_id):
        if port.id == port_id or (port_id is None and subnet_id in [ip.subnet_id for ip in port.fixed_ips]):
            return port
    if port_id is not None:
        message = f"Router {router_id} does not have an interface with id {port_id}"
        raise NotFound(message, kind="RouterInterfaceNotFound")
    message = f"Router {router_id} has no interface on subnet {subnet_id}"
    raise NotFound(message, kind="RouterInterfaceNotFoundForSubnet")


def _check_unused(session: Session, row: RouterRow, subnet_ids: Collection[str]) -> None:
    used = (
        select(FloatingIpRow.id)
        .join(
            AddressRow,
            (col(AddressRow.port_id) == col(FloatingIpRow.port_id))
            & (col(AddressRow.ip_address) == col(FloatingIpRow.fixed_ip_address)),
        )
        .where(FloatingIpRow.router_id == row.id, col(AddressRow.subnet_id).in_(subnet_ids))
    )
    if session.exec(used.limit(1)).first() is not None:
        raise _needed(row.id, subnet_ids, "RouterInterfaceInUseByFloatingIP", "one or more floating IPs")
    cidrs = session.exec(select(SubnetRow.cidr).where(col(SubnetRow.id).in_(subnet_ids))).all()
    for route in row.routes:
        if any(ipaddress.ip_address(route["nexthop"]) in ipaddress.ip_network(cidr) for cidr in cidrs):
            raise _needed(row.id, subnet_ids, "RouterInterfaceInUseByRoute", "one or more routes")


def _needed(router_id: str, subnet_ids: Collection[str], kind: str, by: str) -> Conflict:
    subnet = ", ".join(subnet_ids)
    return Conflict(
        f"Router interface for subnet {subnet} on router {router_id} cannot be deleted, as it is required by {by}.",
        kind=kind,
    )


def _changed(session: Session, row: RouterRow, port: Port) -> RouterInterface:
    touch(row)
    session.add(row)
    session.flush()
    host_routers.changed(session, row.id)
    return RouterInterface(
        router_id=row.id,
        project_id=row.project_id,
        port_id=port.id,
        network_id=port.network_id,
        subnet_ids=tuple(ip.subnet_id for ip in port.fixed_ips),
    )


def _refused(why: str) -> BadRequest:
    return BadRequest(f"Bad router request: {why}.", kind="BadRequest")
