"""What is done inside a router's namespace: addresses, routes, translation."""

import ipaddress
import socket
from collections.abc import Iterable
from pathlib import Path

from pyroute2 import IPRoute

from infra.domain.host_router import HostRouter, RouterNic
from infra.network import names, nat
from infra.network.linux import addresses, connections, links, neighbours, nft

_IPV4 = Path("/proc/sys/net/ipv4")
_SETTINGS = {
    "ip_forward": "1",
    "conf/all/rp_filter": "0",
    # Answer for the addresses of the device that is asked on, and no others: a floating IP is outside only.
    "conf/all/arp_ignore": "1",
    "conf/all/arp_announce": "2",
    "conf/all/send_redirects": "0",
}
_STATIC = 4
"""Who made a route (RTPROT_STATIC): ours, among those of the kernel."""
_TABLE = 254
_DEFAULT = "0.0.0.0/0"


def devices() -> set[str]:
    """Of the calling thread's namespace."""
    with links.netlink() as ip:
        return set(links.all_names(ip))


def configure(router: HostRouter) -> None:
    """Make addresses, routes and translation what they are to be, and tell the neighbours of new addresses.

    Raises:
        HostRejected: a part of it was refused.
    """
    for setting, value in _SETTINGS.items():
        (_IPV4 / setting).write_text(value)
    outside = router.outside
    with links.netlink() as ip:
        ip.link("set", index=socket.if_nametoindex("lo"), state="up")
        for nic in router.nics:
            own = list(nic.addresses)
            if outside is not None and nic == outside.nic:
                own += [f"{pair.outside}/32" for pair in router.floating]
            _address(ip, nic, own)
        _set_routes(ip, router)
    nft.load(nat.ruleset(router, names.router_device(outside.nic.port_id) if outside is not None else ""))
    connections.forget(lambda original, reply: nat.holds(router, original, reply))


def _address(ip: IPRoute, nic: RouterNic, own: Iterable[str]) -> None:
    name = names.router_device(nic.port_id)
    device = socket.if_nametoindex(name)
    links.set_sysctl("ipv6/conf/{}/disable_ipv6", name, "1")
    ip.link("set", index=device, address=nic.mac_address, mtu=nic.mtu, state="up")
    neighbours.announce(name, nic.mac_address, addresses.conform(ip, device, own))


def _set_routes(ip: IPRoute, router: HostRouter) -> None:
    """Routes that are to be, each in place of another to the same destination; one without a way there waits."""
    wanted = {route.destination: route.nexthop for route in router.routes if ":" not in route.destination}
    if router.outside is not None and router.outside.gateways:
        wanted = {_DEFAULT: router.outside.gateways[0].partition("/")[0]} | wanted
    for route in ip.get_routes(family=socket.AF_INET, table=_TABLE):
        if route["proto"] == _STATIC:
            length = route["dst_len"]
            destination = f"{route.get_attr('RTA_DST')}/{length}" if length else _DEFAULT
            if destination not in wanted:
                ip.route("del", dst=destination, table=_TABLE)
    local = [ipaddress.IPv4Interface(address).network for nic in router.nics for address in nic.addresses]
    for destination, hop in wanted.items():
        if any(ipaddress.IPv4Address(hop) in network for network in local):
            ip.route("replace", dst=destination, gateway=hop, proto=_STATIC, table=_TABLE)
