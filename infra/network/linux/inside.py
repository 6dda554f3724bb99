"""What is done inside a network's namespace: the device on which DHCP and metadata answer, and its addresses."""

import array
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

from infra.network import names
from infra.network.dhcp import Range
from infra.network.linux import links, netns

_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_IPV6 = Path("/proc/sys/net/ipv6/conf")


def has_device(namespace: str) -> bool:
    return netns.run_in(namespace, lambda: links.index(names.DHCP_DEVICE) is not None)


def configure(served: Iterable[Range], mtu: int) -> None:
    """Bring the device up with exactly the addresses of the subnets and the metadata service's; runs inside."""
    device = socket.if_nametoindex(names.DHCP_DEVICE)
    wanted = {(names.METADATA_IP, 32)} | {(str(item.server_ip), item.cidr.prefixlen) for item in served}
    # Namespaces inherit the host's setting: one that routes would have this one join the subnets it serves.
    _FORWARDING.write_text("0")
    _set_ipv6(any(item.cidr.version == 6 for item in served))
    _fill_checksums()
    with links.netlink() as ip:
        ip.link("set", index=socket.if_nametoindex("lo"), state="up")
        ip.link("set", index=device, mtu=mtu, state="up")
        there = {
            (address.get_attr("IFA_ADDRESS"), address["prefixlen"])
            for address in ip.get_addr(index=device)
            if not ipaddress.ip_address(address.get_attr("IFA_ADDRESS")).is_link_local
            or address.get_attr("IFA_ADDRESS") == names.METADATA_IP
        }
        for address, length in sorted(wanted - there):
            ip.addr("add", index=device, address=address, prefixlen=length)
        for address, length in sorted(there - wanted):
            ip.addr("del", index=device, address=address, prefixlen=length)


def _set_ipv6(enabled: bool) -> None:
    for setting, value in (("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0" if enabled else "1")):
        path = _IPV6 / names.DHCP_DEVICE / setting
        if path.exists():
            path.write_text(value)


def _fill_checksums() -> None:
    """Have the kernel fill in checksums (ethtool -K tx off): clients that read DHCP off a raw socket verify them."""
    value = array.array("B", struct.pack("II", _ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP", names.DHCP_DEVICE.encode(), value.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SIOCETHTOOL, request)
