"""What a network's DHCP server is told, as pure text: options of dnsmasq, its hosts and its options file.

Only values that went through ``ipaddress``, a pattern or ``names.hostname`` come into these texts, in their
canonical form, so that no name, address or route a user chose can add a line or an option.
Options by number: RFC 2132 (3 router, 6 name servers, 12 host name, 26 MTU), RFC 3442 (121 routes).
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infra.domain.errors import BuildAborted
from infra.domain.network import Nic, NicAddress
from infra.network import names
from infra.network.port_files import PluggedPort

LEASE_SECONDS = 86400
DOMAIN = "openstacklocal"
_MAX_LEASES = 65535
_MAX_OPTION_BYTES = 255
_ROUTE_BYTES = 9
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Range(BaseModel):
    """A subnet that is served on a network."""

    model_config = ConfigDict(frozen=True)

    cidr: _Network
    server_ip: ipaddress.IPv4Address | ipaddress.IPv6Address


def check(nic: Nic) -> None:
    """Refuse an interface whose description could not be carried out on any host.

    Raises:
        BuildAborted: an id, address, route, MAC address, MTU or VNI is malformed.
    """
    try:
        names.check_id(nic.port_id)
        names.check_id(nic.network_id)
        _mac(nic.mac_address)
        if not 0 < nic.vni < 2**24:
            raise ValueError("the VNI must be between 1 and 16777215")
        if not 68 <= nic.mtu <= 65535:
            raise ValueError("the MTU must be between 68 and 65535")
        for address in nic.addresses:
            _check_address(address)
    except ValueError as error:
        raise BuildAborted(f"The port's description can't be used: {error}.", code=400) from error


def _check_address(address: NicAddress) -> None:
    own = ipaddress.ip_address(address.ip_address)
    network = ipaddress.ip_network(address.cidr)
    others = [address.gateway_ip, address.dhcp_ip, *address.dns_nameservers]
    for other in others:
        if other is not None and ipaddress.ip_address(other).version != own.version:
            raise ValueError("addresses of both IP versions are mixed in one subnet")
    for route in address.host_routes:
        ends = ipaddress.ip_network(route.destination), ipaddress.ip_address(route.nexthop)
        if {end.version for end in ends} != {own.version}:
            raise ValueError("a host route is of the other IP version than its subnet")
    if (
        _ROUTE_BYTES * (len(address.host_routes) + 2) > _MAX_OPTION_BYTES
        or 4 * len(address.dns_nameservers) > _MAX_OPTION_BYTES
    ):
        raise ValueError("more routes or name servers than a DHCP option holds")
    if own not in network or (address.dhcp_ip and ipaddress.ip_address(address.dhcp_ip) not in network):
        raise ValueError("an address is outside its subnet")


def _mac(value: str) -> str:
    if not _MAC.fullmatch(value.lower()):
        raise ValueError("not a MAC address")
    return value.lower()


def _served(port: PluggedPort, version: int) -> list[NicAddress]:
    """The port's addresses of one IP version that come by DHCP."""
    return [
        address
        for address in port.nic.addresses
        if address.enable_dhcp and address.dhcp_ip and ipaddress.ip_address(address.ip_address).version == version
    ]


def ranges(ports: Iterable[PluggedPort]) -> list[Range]:
    """The subnets of all ports, each once, in order."""
    found = {
        Range(cidr=ipaddress.ip_network(address.cidr), server_ip=ipaddress.ip_address(address.dhcp_ip or ""))
        for port in ports
        for version in (4, 6)
        for address in _served(port, version)
    }
    return sorted(found, key=lambda item: (item.cidr.version, str(item.cidr), str(item.server_ip)))


def arguments(directory: Path, served: Sequence[Range], *, mtu: int, user: str) -> list[str]:
    """Options with which dnsmasq serves a network. They need a new process to change; the files only SIGHUP."""
    options = [
        "--conf-file=/dev/null",
        f"--pid-file={directory / 'pid'}",
        f"--user={user}",
        "--port=0",
        "--no-hosts",
        "--no-resolv",
        "--no-ping",
        f"--interface={names.DHCP_DEVICE}",
        "--except-interface=lo",
        "--bind-interfaces",
        "--dhcp-authoritative",
        "--dhcp-ignore=tag:!known",
        "--dhcp-ignore-names",
        f"--dhcp-lease-max={_MAX_LEASES}",
        f"--dhcp-leasefile={directory / 'leases'}",
        f"--dhcp-hostsfile={directory / 'hosts'}",
        f"--dhcp-optsfile={directory / 'options'}",
        f"--dhcp-option-force=option:mtu,{mtu}",
    ]
    for cidr in sorted({item.cidr for item in served}, key=lambda cidr: (cidr.version, str(cidr))):
        mask = cidr.netmask if cidr.version == 4 else cidr.prefixlen
        options.append(f"--dhcp-range=set:{_tag(cidr)},{cidr.network_address},static,{mask},{LEASE_SECONDS}")
    if any(item.cidr.version == 6 for item in served):
        # A router lifetime of 0: hosts learn the prefix and to ask DHCPv6, but take nobody here for a router.
        options += ["--enable-ra", f"--ra-param={names.DHCP_DEVICE},mtu:{mtu},60,0"]
    return options


def hosts(ports: Sequence[PluggedPort]) -> str:
    """One line a port. Where two claim an address the later written has it: the earlier is being removed.

    No line sets a tag: dnsmasq 2.90 dies of SIGHUP once it has answered a host whose line does.
    """
    lines: dict[str, str] = {}
    taken: set[str] = set()
    for port in reversed(ports):
        addresses = [item.ip_address for item in _served(port, 4)[:1]]
        addresses += [f"[{ipaddress.ip_address(item.ip_address)}]" for item in _served(port, 6)]
        free = [address for address in addresses if address not in taken]
        mac = _mac(port.nic.mac_address)
        if free and mac not in lines:
            taken.update(free)
            fallback = "host-" + re.sub(r"[^0-9a-f]+", "-", free[0]).strip("-")
            # The domain keeps a name like "ignore" or "1h" from being taken for a keyword or a lease time.
            name = f"{names.hostname(port.hostname, fallback)}.{DOMAIN}"
            lines[mac] = ",".join([mac, *free, name, str(LEASE_SECONDS)])
    return "".join(f"{lines[mac]}\n" for mac in sorted(lines))


def options(ports: Sequence[PluggedPort]) -> str:
    """The options of every subnet, by its tag, as the port written last describes it."""
    subnets = {
        ipaddress.ip_network(item.cidr): item for port in ports for item in (*_served(port, 4), *_served(port, 6))
    }
    lines: list[str] = []
    for cidr, subnet in sorted(subnets.items(), key=lambda pair: (pair[0].version, str(pair[0]))):
        given = _options4(subnet) if cidr.version == 4 else _options6(subnet)
        lines += [f"tag:{_tag(cidr)},{option}" for option in given]
    return "".join(f"{line}\n" for line in lines)


def _options4(subnet: NicAddress) -> list[str]:
    routes = [(ipaddress.ip_network(f"{names.METADATA_IP}/32"), subnet.dhcp_ip)]
    routes += [(ipaddress.ip_network(route.destination), route.nexthop) for route in subnet.host_routes]
    if subnet.gateway_ip:
        # RFC 3442: a client that takes option 121 ignores option 3, so the default route stands in both.
        routes.append((ipaddress.ip_network("0.0.0.0/0"), subnet.gateway_ip))
    text = ",".join(f"{destination},{ipaddress.ip_address(nexthop or '')}" for destination, nexthop in routes)
    lines = [
        # Without a value dnsmasq sends no router; without the line it would name itself.
        f"option:router,{ipaddress.ip_address(subnet.gateway_ip)}" if subnet.gateway_ip else "option:router",
        f"option:classless-static-route,{text}",
    ]
    servers = ",".join(str(ipaddress.ip_address(item)) for item in subnet.dns_nameservers)
    return [*lines, f"option:dns-server,{servers}"] if servers else lines


def _options6(subnet: NicAddress) -> list[str]:
    servers = ",".join(f"[{ipaddress.ip_address(item)}]" for item in subnet.dns_nameservers)
    return [f"option6:dns-server,{servers}"] if servers else []


def _tag(cidr: _Network) -> str:
    return "n" + str(cidr).replace("/", "-").replace(":", ".")
