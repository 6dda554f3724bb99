"""Which host has which router, and what it needs of it. A router is where its ports are bound.

All routers of one external network are on one host: the network's own gateway is there, and so are its floating IPs.
"""

import ipaddress
from collections import Counter
from collections.abc import Collection

from sqlmodel import Session, col, select

from infra.db import addresses, hosts, network_changes, subnets
from infra.db.network_rows import network_row, within
from infra.db.tables.network import NetworkRow, PortRow
from infra.db.tables.routing import FloatingIpRow, RouterRow
from infra.domain.host import Host
from infra.domain.host_router import FloatingPair, HostRouter, Outside, RouterNic
from infra.domain.network import HostRoute
from infra.domain.router import GATEWAY_OWNER, INTERFACE_OWNER

_OWNERS = (INTERFACE_OWNER, GATEWAY_OWNER)


def changed(session: Session, router_id: str) -> None:
    """A router has other ports than before: it gets a host with its first, and another one with another external
    network. Hosts that have it, or had it, are to be told."""
    ports = _ports(session, router_id)
    host = _choose(session, ports)
    network_changes.mark(session, {host, *(port.host for port in ports)})
    for port in ports:
        port.host = host
        session.add(port)
    session.flush()


def leave(session: Session, host: str) -> None:
    """The host is off for good, or is to be no more: its routers go to others."""
    for router_id in _router_ids(session, host):
        changed(session, router_id)


def place_waiting(session: Session) -> None:
    """Routers that were made when there was no host for them."""
    leave(session, "")


def of_host(session: Session, host: str) -> tuple[HostRouter, ...]:
    """What the host should have; routers that are down are not there."""
    ids = _router_ids(session, host)
    rows = session.exec(select(RouterRow).where(within(RouterRow.id, ids)).order_by(col(RouterRow.id)))
    return tuple(_router(session, row) for row in rows.all() if row.admin_state_up)


def public(session: Session, host: str) -> dict[str, str]:
    """Floating IPs that lead to ports of a host, wherever their router is; the oldest of each port."""
    query = select(FloatingIpRow.port_id, FloatingIpRow.floating_ip_address)
    led = query.join(PortRow, col(PortRow.id) == col(FloatingIpRow.port_id)).where(PortRow.host == host)
    newest_first = led.order_by(col(FloatingIpRow.created_at).desc(), col(FloatingIpRow.id).desc())
    return {port_id: address for port_id, address in session.exec(newest_first) if port_id is not None}


def _router(session: Session, row: RouterRow) -> HostRouter:
    ports = [port for port in _ports(session, row.id) if port.admin_state_up]
    nics = {port.id: _nic(session, port) for port in ports}
    gateway = next((port for port in ports if port.id == row.gateway_port_id), None)
    query = select(FloatingIpRow.floating_ip_address, FloatingIpRow.fixed_ip_address)
    leading = session.exec(query.where(FloatingIpRow.router_id == row.id).order_by(col(FloatingIpRow.id))).all()
    return HostRouter(
        id=row.id,
        inside=tuple(nics[port.id] for port in ports if port.device_owner == INTERFACE_OWNER),
        outside=_outside(session, nics[gateway.id]) if gateway is not None else None,
        enable_snat=row.enable_snat,
        floating=tuple(FloatingPair(outside=outside, inside=inside) for outside, inside in leading if inside),
        routes=tuple(HostRoute(**route) for route in row.routes),
    )


def _nic(session: Session, port: PortRow) -> RouterNic:
    network = session.get_one(NetworkRow, port.network_id)
    cidrs = {subnet.id: subnet.cidr for subnet in subnets.of_network(session, port.network_id)}
    own = addresses.of_ports(session, [port.id])[port.id]
    return RouterNic(
        port_id=port.id,
        network_id=network.id,
        vni=network.vni,
        mtu=network.mtu,
        mac_address=port.mac_address,
        addresses=tuple(_with_length(ip.ip_address, cidrs[ip.subnet_id]) for ip in own if ":" not in ip.ip_address),
    )


def _outside(session: Session, nic: RouterNic) -> Outside:
    """The gateway of the router's own subnet first: its default route goes there."""
    own = {ipaddress.ip_interface(address).network for address in nic.addresses}
    found = [it for it in subnets.of_network(session, nic.network_id) if it.ip_version == 4 and it.gateway_ip]
    found.sort(key=lambda it: ipaddress.ip_network(it.cidr) not in own)
    inside = [it for it in found if ipaddress.ip_address(it.gateway_ip or "") in ipaddress.ip_network(it.cidr)]
    return Outside(nic=nic, gateways=tuple(_with_length(it.gateway_ip or "", it.cidr) for it in inside))


def _with_length(address: str, cidr: str) -> str:
    return f"{address}/{cidr.partition('/')[2]}"


def _choose(session: Session, ports: Collection[PortRow]) -> str:
    if not ports:
        return ""
    known = {host.name: host for host in hosts.snapshot(session) if not host.forced_down}
    outside = next((port for port in ports if port.device_owner == GATEWAY_OWNER), None)
    if outside is not None:
        # Two routers that come to one external network at once find the same host.
        network_row(session, outside.network_id, lock="change")
        at = session.exec(
            select(PortRow.host).where(
                PortRow.network_id == outside.network_id,
                PortRow.device_owner == GATEWAY_OWNER,
                PortRow.id != outside.id,
                within(PortRow.host, list(known)),
            )
        ).first()
        if at is not None:
            return at
    now = next((port.host for port in ports if port.host in known), None)
    return now if now is not None else _best(session, list(known.values()), {port.network_id for port in ports})


def _best(session: Session, known: Collection[Host], network_ids: Collection[str]) -> str:
    """One that takes work and reports, with guests in the router's networks, and few routers."""
    beside = select(PortRow.host).where(within(PortRow.network_id, sorted(network_ids)), col(PortRow.bound_by) != "")
    guests = Counter(session.exec(beside))
    routed = Counter(session.exec(select(PortRow.host).where(col(PortRow.device_owner).in_(_OWNERS))))

    def rank(host: Host) -> tuple[object, ...]:
        return not (host.enabled and host.ready), -guests[host.name], routed[host.name], host.name

    return min(known, key=rank).name if known else ""


def _router_ids(session: Session, host: str) -> list[str]:
    query = select(PortRow.device_id).where(PortRow.host == host, col(PortRow.device_owner).in_(_OWNERS))
    return list(session.exec(query.distinct().order_by(col(PortRow.device_id))))


def _ports(session: Session, router_id: str) -> list[PortRow]:
    query = select(PortRow).where(PortRow.device_id == router_id, col(PortRow.device_owner).in_(_OWNERS))
    return list(session.exec(query.order_by(col(PortRow.created_at), col(PortRow.id))))
