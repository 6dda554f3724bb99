"""A router's port on an external network. It is nobody's: only those of the external network see it."""

from sqlmodel import Session, select

from infra.db import addresses, port_rows, router_interfaces
from infra.db.network_rows import network_row, touch
from infra.db.tables.network import NetworkRow, PortRow, SubnetRow
from infra.db.tables.routing import FloatingIpRow, RouterRow
from infra.domain.errors import BadRequest, Conflict
from infra.domain.network import AddressWish
from infra.domain.router import GATEWAY_OWNER, GatewayWish


def connect(session: Session, row: RouterRow, wish: GatewayWish) -> None:
    """Make or change the gateway of a router, whose row is locked.

    Raises:
        NotFound: no such network.
        BadRequest: it is not external, has no addresses, or overlaps with what the router is connected to.
        Conflict: floating IPs need the gateway that it has; no address is left, or the wanted one is taken.
    """
    network = network_row(session, wish.network_id, lock="use")
    if not network.external:
        message = f"Bad router request: Network {network.id} is not an external network."
        raise BadRequest(message, kind="BadRequest")
    port = session.get(PortRow, row.gateway_port_id) if row.gateway_port_id is not None else None
    if port is not None and port.network_id != network.id:
        disconnect(session, row)
        port = None
    if port is None:
        _plug(session, row, network, wish.external_fixed_ips)
    elif wish.external_fixed_ips:
        check_not_gateway(session, network.id, wish.external_fixed_ips)
        addresses.conform(session, network.id, port.id, wish.external_fixed_ips)
        _check_apart(session, row, port.id)
        touch(row)
    if wish.enable_snat is not None and wish.enable_snat != row.enable_snat:
        row.enable_snat = wish.enable_snat
        touch(row)
    session.add(row)
    session.flush()


def disconnect(session: Session, row: RouterRow) -> None:
    """Take a router's gateway away; none is success.

    Raises:
        Conflict: RouterExternalGatewayInUseByFloatingIp.
    """
    port_id = row.gateway_port_id
    if port_id is None:
        return
    used = session.exec(select(FloatingIpRow.id).where(FloatingIpRow.router_id == row.id).limit(1)).first()
    if used is not None:
        raise Conflict(
            f"Gateway cannot be updated for router {row.id}, since a gateway to the external network is required by "
            f"one or more floating IPs.",
            kind="RouterExternalGatewayInUseByFloatingIp",
        )
    row.gateway_port_id, row.enable_snat = None, True
    touch(row)
    session.add(row)
    session.flush()
    port_rows.remove(session, [port_id])


def check_not_gateway(session: Session, network_id: str, wishes: tuple[AddressWish, ...]) -> None:
    """Raises Conflict for an address at which an external network's own gateway is."""
    gateways = set(session.exec(select(SubnetRow.gateway_ip).where(SubnetRow.network_id == network_id)))
    for wish in wishes:
        if wish.ip_address is not None and wish.ip_address in gateways:
            raise Conflict(
                f"Unable to complete operation for network {network_id}. The IP address {wish.ip_address} is in use.",
                kind="IpAddressInUse",
            )


def _plug(session: Session, row: RouterRow, network: NetworkRow, wishes: tuple[AddressWish, ...] | None) -> None:
    port_id = port_rows.add_own(session, "", network.id, GATEWAY_OWNER, row.id)
    check_not_gateway(session, network.id, wishes or ())
    taken = addresses.allocate(session, network.id, port_id, wishes or None)
    if not taken:
        message = f"Bad router request: No IPs available for external network {network.id}."
        raise BadRequest(message, kind="BadRequest")
    _check_apart(session, row, port_id)
    row.gateway_port_id = port_id
    touch(row)


def _check_apart(session: Session, row: RouterRow, port_id: str) -> None:
    subnet_ids = [ip.subnet_id for ip in addresses.of_ports(session, [port_id])[port_id]]
    router_interfaces.check_apart(session, row.id, subnet_ids, but=port_id)
