"""The host's devices of one network by netlink: bridge, tunnel, and the pair of veths that leads into its namespace."""

import asyncio
import errno
import hashlib
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from infra.domain.errors import HostRejected
from infra.network import names
from infra.network.linux import addresses

AGEING_CENTISECONDS = 30000
_SYSCTL = Path("/proc/sys/net")
_STRICT = (("ipv6/conf/{}/disable_ipv6", "1"), ("ipv4/conf/{}/rp_filter", "1"))
_EVERY_MAC = "00:00:00:00:00:00"


class Devices(BaseModel):
    """What a network's devices are to be."""

    model_config = ConfigDict(frozen=True)

    prefix: str
    network_id: str
    vni: int
    mtu: int
    tunnel_ip: str
    vxlan_port: int
    gateways: tuple[str, ...] = ()
    """Addresses of this host in an external network, as ``10.0.0.1/24``; none in others."""

    @property
    def bridge(self) -> str:
        return names.bridge(self.prefix, self.network_id)

    @property
    def tunnel(self) -> str:
        return names.tunnel(self.prefix, self.network_id)

    @property
    def veth(self) -> str:
        return names.veth(self.prefix, self.network_id)

    @property
    def namespace(self) -> str:
        return names.namespace(self.prefix, self.network_id)

    @property
    def dhcp_mac(self) -> str:
        """The same on every host, so that a guest that moves finds its DHCP server where it was."""
        return _own_mac(self.network_id)

    @property
    def host_mac(self) -> str:
        """Of the bridge where the host has addresses: neighbours keep it, whatever is plugged."""
        return _own_mac(f"host of {self.network_id}")


def _own_mac(of: str) -> str:
    return ":".join(f"{byte:02x}" for byte in bytes([0x02]) + hashlib.sha256(of.encode()).digest()[:5])


@contextmanager
def netlink() -> Iterator[IPRoute]:
    """Netlink of the calling thread's namespace, on a plain event loop of its own: uvloop opens no netlink socket.

    Not for a thread in which an event loop runs.
    """
    loop = asyncio.SelectorEventLoop()
    try:
        with IPRoute(use_event_loop=loop) as ip:
            yield ip
    finally:
        loop.close()


def index(name: str) -> int | None:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def present(devices: Devices) -> bool:
    """Whether all devices exist: the quick look of the hot path, ``ensure`` is the thorough one."""
    return all(index(name) for name in (devices.bridge, devices.tunnel, devices.veth))


def ensure(ip: IPRoute, devices: Devices, owner: str) -> None:
    """Make the bridge and the tunnel what they are to be; guests' taps stay where they are.

    Raises:
        HostRejected: another network or another host's directory has the name or the VNI.
    """
    bridge = _ensure_bridge(ip, devices, owner)
    _ensure_tunnel(ip, devices, bridge, owner)


def ensure_veth(ip: IPRoute, devices: Devices, owner: str, *, inside: bool) -> bool:
    """Make the pair whose one end is in the bridge and the other in the namespace; True when it was not there.

    Args:
        ip: netlink of the host.
        devices: what they are to be.
        owner: whose they are.
        inside: whether the namespace has its end of a pair already.
    """
    bridge = index(devices.bridge)
    here = index(devices.veth)
    new = here is None or not inside
    if here is not None and not inside:
        ip.link("del", index=here)
        here = None
    if here is None:
        peer = {"ifname": names.DHCP_DEVICE, "net_ns_fd": devices.namespace, "address": devices.dhcp_mac}
        ip.link("add", ifname=devices.veth, kind="veth", peer=peer | {"mtu": devices.mtu}, mtu=devices.mtu)
        here = socket.if_nametoindex(devices.veth)
    no_host_address(devices.veth)
    _enslave(ip, here, bridge, devices, owner)
    return new


def take_in(ip: IPRoute, bridge_name: str, taps: Iterable[str]) -> None:
    """Put guests' taps that run without a bridge, because theirs was taken away, into this one."""
    bridge = index(bridge_name)
    for name in taps:
        tap = index(name)
        if tap is not None and _get(ip, tap).get_attr("IFLA_MASTER") is None:
            ip.link("set", index=tap, master=bridge)


def let_go(tap: str) -> None:
    """Take a guest's tap out of its bridge; "not there" is success."""
    found = index(tap)
    if found is not None:
        with netlink() as ip:
            try:
                ip.link("set", index=found, master=0)
            except NetlinkError as error:
                if error.code != errno.ENODEV:
                    raise


def remove(ip: IPRoute, devices_or_names: Iterable[str]) -> None:
    """Delete devices by name; "not there" is success."""
    for name in devices_or_names:
        found = index(name)
        if found is None:
            continue
        try:
            ip.link("del", index=found)
        except NetlinkError as error:
            if error.code != errno.ENODEV:
                raise


def all_names(ip: IPRoute) -> dict[str, str]:
    """Every device of the host with its alias ("" where it has none)."""
    return {link.get_attr("IFLA_IFNAME"): link.get_attr("IFLA_IFALIAS") or "" for link in ip.get_links()}


def set_peers(ip: IPRoute, tunnel: str, peers: Iterable[str]) -> None:
    """Make exactly these the hosts that get what is meant for every guest and for those not yet learnt."""
    device = index(tunnel)
    if device is None:
        return
    wanted = {str(ipaddress.ip_address(peer)) for peer in peers}
    present_now = {
        entry.get_attr("NDA_DST")
        for entry in ip.fdb("dump", ifindex=device)
        if entry.get_attr("NDA_LLADDR") == _EVERY_MAC and entry.get_attr("NDA_DST")
    }
    for peer in sorted(wanted - present_now):
        ip.fdb("append", ifindex=device, lladdr=_EVERY_MAC, dst=peer)
    for peer in sorted(present_now - wanted):
        ip.fdb("del", ifindex=device, lladdr=_EVERY_MAC, dst=peer)


def track(ip: IPRoute, bridge: int) -> None:
    """Have this bridge's frames go through the host's packet filter, where their connections are known."""
    ip.link("set", index=bridge, kind="bridge", br_nf_call_iptables=1, br_nf_call_ip6tables=1)


def let_bridged_frames_pass() -> None:
    """Keep the host's packet filter off the frames of others' bridges, which its DROP policy would otherwise lose.

    Those of ours go through it (``track``).
    """
    for family in ("iptables", "ip6tables", "arptables"):
        setting = _SYSCTL / "bridge" / f"bridge-nf-call-{family}"
        if setting.exists() and setting.read_text().strip() != "0":
            setting.write_text("0")


def alias(owner: str, thing_id: str) -> str:
    """What the devices of a network or router say of whose they are."""
    return f"{owner}/{thing_id}"


def _get(ip: IPRoute, device: int) -> Any:
    return ip.link("get", index=device)[0]


def _ensure_bridge(ip: IPRoute, devices: Devices, owner: str) -> int:
    wanted = alias(owner, devices.network_id)
    bridge = index(devices.bridge)
    if bridge is None:
        ip.link(
            "add",
            ifname=devices.bridge,
            kind="bridge",
            br_stp_state=0,
            br_forward_delay=0,
            br_ageing_time=AGEING_CENTISECONDS,
            br_mcast_snooping=0,
        )
        bridge = socket.if_nametoindex(devices.bridge)
    else:
        there = _get(ip, bridge).get_attr("IFLA_IFALIAS") or wanted
        if there != wanted:
            raise HostRejected(f"The bridge {devices.bridge} on this host belongs to somebody else.")
    if devices.gateways:
        ip.link("set", index=bridge, address=devices.host_mac)
        # But whether what comes from there goes on: that is the machine's own affair.
        for setting, value in (*_STRICT, ("ipv4/conf/{}/arp_ignore", "1")):
            set_sysctl(setting, devices.bridge, value)
    else:
        no_host_address(devices.bridge)
    ip.link("set", index=bridge, ifalias=wanted, mtu=devices.mtu, state="up")
    addresses.conform(ip, bridge, devices.gateways)
    return bridge


def _ensure_tunnel(ip: IPRoute, devices: Devices, bridge: int, owner: str) -> None:
    tunnel = index(devices.tunnel)
    if tunnel is not None and not _is_tunnel_of(_get(ip, tunnel), devices):
        ip.link("del", index=tunnel)
        tunnel = None
    if tunnel is None:
        local = "vxlan_local" if ipaddress.ip_address(devices.tunnel_ip).version == 4 else "vxlan_local6"
        try:
            ip.link(
                "add",
                ifname=devices.tunnel,
                kind="vxlan",
                vxlan_id=devices.vni,
                vxlan_port=devices.vxlan_port,
                **{local: devices.tunnel_ip},
            )
        except NetlinkError as error:
            if error.code == errno.EEXIST:
                raise HostRejected(f"Another device of this host has the VXLAN identifier {devices.vni}.") from error
            raise
        tunnel = socket.if_nametoindex(devices.tunnel)
    no_host_address(devices.tunnel)
    _enslave(ip, tunnel, bridge, devices, owner)


def _is_tunnel_of(link: Any, devices: Devices) -> bool:
    data = (link.get_attr("IFLA_LINKINFO") or link).get_attr("IFLA_INFO_DATA")
    if data is None:
        return False
    local = data.get_attr("IFLA_VXLAN_LOCAL") or data.get_attr("IFLA_VXLAN_LOCAL6")
    found = (data.get_attr("IFLA_VXLAN_ID"), data.get_attr("IFLA_VXLAN_PORT"), local)
    return found == (devices.vni, devices.vxlan_port, devices.tunnel_ip)


def _enslave(ip: IPRoute, device: int, bridge: int | None, devices: Devices, owner: str) -> None:
    """Put a port of ours into the bridge, isolated: DHCP and metadata of this host answer its own guests only."""
    text = alias(owner, devices.network_id)
    ip.link("set", index=device, master=bridge, mtu=devices.mtu, ifalias=text, state="up")
    ip.brport("set", index=device, isolated=1)


def no_host_address(name: str) -> None:
    """Keep the host's own addresses out of a guests' network, for neighbours and for forged packets."""
    for setting, value in (*_STRICT, ("ipv4/conf/{}/arp_ignore", "8"), ("ipv4/conf/{}/forwarding", "0")):
        set_sysctl(setting, name, value)


def set_sysctl(setting: str, name: str, value: str) -> None:
    """Set it for the device ``name``, where this kernel has it."""
    path = _SYSCTL / setting.format(name)
    if path.exists():
        path.write_text(value)
