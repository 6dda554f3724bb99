"""Two hosts, each in a namespace of its own, joined by a wire: tunnels carry guests, not DHCP. And killed workers."""

import os
import random
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from infra.network.linux import LinuxNetworkBackend, links, netns
from infra.settings import HostSettings
from tests.contract.network_guest import guest
from tests.contract.network_rules import in_default_group, unsecured
from tests.contract.test_network_backend import make_nic, prefix

pytestmark = pytest.mark.root


class Host:
    """A machine of its own as far as its network goes."""

    def __init__(self, number: int, directory: Path) -> None:
        self.name = f"host-{uuid.uuid4()}"
        self.tunnel_ip = f"192.0.2.{number}"
        settings = HostSettings(interface_prefix=prefix(), tunnel_ip=self.tunnel_ip)
        self.backend = LinuxNetworkBackend(settings, directory / self.name)

    def do(self, work: Callable[[], Any]) -> Any:
        return netns.run_in(self.name, work)

    def wire(self) -> None:
        def up() -> None:
            with IPRoute() as ip:
                ip.addr("add", index=links.index("wire"), address=self.tunnel_ip, prefixlen=24)
                ip.link("set", index=links.index("wire"), state="up")

        self.do(up)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[Host]]:
    made = [Host(1, tmp_path), Host(2, tmp_path)]
    for host in made:
        host.do(lambda: None)
    with IPRoute() as ip:
        ends = [{"ifname": "wire", "net_ns_fd": host.name} for host in made]
        ip.link("add", kind="veth", peer=ends[1], **ends[0])
    for host in made:
        host.wire()
    yield made
    for host in made:
        for server_id, ports in host.backend.plugged().items():
            for port_id in ports:
                host.do(lambda host=host, s=server_id, p=port_id: host.backend.unplug(s, p))
        assert host.do(host.backend.leftovers) == []
        netns.remove(host.name)


def ping(machine: Any, address: str) -> bool:
    command = ["busybox", "ping", "-c", "2", "-W", "1", address]
    return bool(machine.run(lambda: subprocess.run(command, capture_output=True, timeout=20)).returncode == 0)


def test_guests_on_two_hosts_meet_and_each_host_serves_its_own(hosts: list[Host], tmp_path: Path) -> None:
    """Both hosts' DHCP servers have the same address: were they to hear the other's guests, they would refuse them."""
    network_id, vni = str(uuid.uuid4()), random.randrange(1, 2**24)
    nics = [make_nic(network_id, 10 + number, vni=vni) for number in (0, 1)]
    for host, other in (hosts, hosts[::-1]):
        host.do(lambda host=host, other=other: host.backend.set_peers(vni, [other.tunnel_ip]))
        host.backend.learn(in_default_group(*nics))
    plugged = [
        host.do(lambda host=host, nic=nic: host.backend.plug("server", "web", nic))
        for host, nic in zip(hosts, nics, strict=True)
    ]
    first = guest(plugged[0], nics[0].mac_address, tmp_path)
    second = guest(plugged[1], nics[1].mac_address, tmp_path)
    one, two = hosts[0].do(first.__enter__), hosts[1].do(second.__enter__)
    try:
        for machine, nic in ((one, nics[0]), (two, nics[1])):
            lease = machine.dhcp()
            assert lease is not None
            assert lease["ip"] == nic.addresses[0].ip_address
            machine.configure(lease["ip"], 24, {})
        assert ping(one, "10.20.0.11")
        assert ping(two, "10.20.0.10")
        hosts[0].do(lambda: hosts[0].backend.unplug("server", nics[0].port_id))
        assert not ping(two, "10.20.0.10")
        assert ping(two, "10.20.0.2")
    finally:
        hosts[0].do(lambda: first.__exit__(None, None, None))
        hosts[1].do(lambda: second.__exit__(None, None, None))


def test_a_guest_that_asks_at_the_wrong_host_hears_nothing(hosts: list[Host], tmp_path: Path) -> None:
    network_id, vni = str(uuid.uuid4()), random.randrange(1, 2**24)
    here, there = make_nic(network_id, 10, vni=vni), make_nic(network_id, 11, vni=vni)
    for host, other in (hosts, hosts[::-1]):
        host.backend.learn(unsecured(here, there))
        host.do(lambda host=host, other=other: host.backend.set_peers(vni, [other.tunnel_ip]))
    hosts[0].do(lambda: hosts[0].backend.plug("server", "web", here))
    plugged = hosts[1].do(lambda: hosts[1].backend.plug("server", "web", there))
    machine = guest(plugged, here.mac_address, tmp_path)
    entered = hosts[1].do(machine.__enter__)
    try:
        assert entered.dhcp(tries=1) is None
    finally:
        hosts[1].do(lambda: machine.__exit__(None, None, None))


def test_a_guest_does_not_reach_its_host(hosts: list[Host], tmp_path: Path) -> None:
    """Not even one that knows the bridge's MAC address and sends to an address of the host, which asks for no ARP."""
    host, nic = hosts[0], make_nic(str(uuid.uuid4()), 10, vni=random.randrange(1, 2**24))
    host.backend.learn(unsecured(nic))
    plugged = host.do(lambda: host.backend.plug("server", "web", nic))
    # The host itself may be as trusting as Linux's defaults allow: the greater of both settings counts.
    host.do(lambda: Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("0"))

    def listen() -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind(("0.0.0.0", 9999))
        listener.settimeout(1)
        return listener

    def send(mac: str) -> None:
        with IPRoute() as ip:
            device = links.index("eth0")
            ip.addr("add", index=device, address="10.20.0.10", prefixlen=24)
            ip.route("add", dst=f"{host.tunnel_ip}/32", oif=device)
            ip.neigh("replace", ifindex=device, dst=host.tunnel_ip, lladdr=mac, state=0x80)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(3):
                sender.sendto(b"hello", (host.tunnel_ip, 9999))

    machine = guest(plugged, nic.mac_address, tmp_path)
    entered = host.do(machine.__enter__)
    mac = host.do(lambda: _mac(plugged.bridge))
    listener = host.do(listen)
    try:
        entered.run(lambda: send(mac))
        with pytest.raises(TimeoutError):
            listener.recv(100)
        assert not ping(entered, host.tunnel_ip)
    finally:
        listener.close()
        host.do(lambda: machine.__exit__(None, None, None))


def _mac(device: str) -> str:
    with IPRoute() as ip:
        return str(ip.link("get", index=links.index(device))[0].get_attr("IFLA_ADDRESS"))


_WORKER = """
import os, sys
from pathlib import Path
from infra.domain.network import Nic
from infra.network.linux import LinuxNetworkBackend
from infra.settings import HostSettings
backend = LinuxNetworkBackend(HostSettings.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
nics = [Nic.model_validate_json(text) for text in sys.argv[3:]]
os.write(1, b"ready")
while True:
    for nic in nics:
        backend.plug("server", "web", nic)
    for nic in nics:
        backend.unplug("server", nic.port_id)
"""


def test_a_worker_killed_at_any_moment_leaves_nothing_that_can_not_be_undone(tmp_path: Path) -> None:
    settings = HostSettings(interface_prefix=prefix(), vxlan_port=14791)
    vni = random.randrange(2**23, 2**24 - 2)
    nics = [make_nic(str(uuid.uuid4()), 10 + number, vni=vni + number) for number in (0, 1)]
    nics.append(make_nic(nics[0].network_id, 12, vni=vni))
    texts = [nic.model_dump_json() for nic in nics]
    for _ in range(6):
        command = [sys.executable, "-c", _WORKER, settings.model_dump_json(), str(tmp_path), *texts]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert worker.stdout is not None
        assert os.read(worker.stdout.fileno(), 5) == b"ready"
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(random.uniform(0, 0.25))
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
        worker.stdout.close()
        backend = LinuxNetworkBackend(settings, tmp_path)
        backend.heal()
        assert backend.leftovers() == []
        assert backend.heal() == []
        for nic in nics:
            backend.plug("server", "web", nic)
        for nic in nics:
            backend.unplug("server", nic.port_id)
        assert (backend.plugged(), backend.leftovers(), backend.heal()) == ({}, [], [])
        assert list((tmp_path / "networks").iterdir()) == []
