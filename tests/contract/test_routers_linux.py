"""A router with real packets: guests reach out, are reached at their floating IPs, and are not once these are gone."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from infra.domain.errors import HostRejected
from infra.domain.host_network import HostNetwork, Rule
from infra.domain.host_router import FloatingPair, HostRouter, Outside, RouterNic
from infra.domain.network import HostRoute
from infra.network import names
from infra.network.linux import LinuxNetworkBackend, links, netns, nft
from infra.settings import HostSettings
from tests.contract.network_guest import Guest, guest
from tests.contract.network_rules import let_in, secured, unsecured
from tests.contract.test_network_backend import make_nic, prefix

pytestmark = pytest.mark.root

HOST = "203.0.113.1"
OWN = "203.0.113.5"
FLOATING = "203.0.113.9"


class Lab:
    """A host with one tenant's network, behind a router, and an external one whose gateway the host itself is."""

    def __init__(self, settings: HostSettings, directory: Path) -> None:
        self.settings, self.directory = settings, directory
        self.backend = LinuxNetworkBackend(settings, directory)
        self.inside, self.outside = str(uuid.uuid4()), str(uuid.uuid4())
        self.known = HostNetwork()
        """What is known of the latest guest."""
        self.vni = random.randrange(2**23, 2**24 - 2)
        self.router = HostRouter(
            id=str(uuid.uuid4()),
            inside=(self.nic(self.inside, 0, "10.20.0.1/24"),),
            outside=Outside(nic=self.nic(self.outside, 1, f"{OWN}/24"), gateways=(f"{HOST}/24",)),
        )

    def nic(self, network_id: str, number: int, *addresses: str) -> RouterNic:
        return RouterNic(
            port_id=str(uuid.uuid4()), network_id=network_id, vni=self.vni + number, mtu=1400,
            mac_address=f"fa:16:3e:00:01:{random.randrange(256):02x}", addresses=addresses,
        )  # fmt: skip

    def floating(self, **pairs: str) -> HostRouter:
        found = tuple(FloatingPair(outside=outside, inside=inside) for outside, inside in pairs.items())
        return self.router.model_copy(update={"floating": found})

    @contextlib.contextmanager
    def guest(self, last: int, *rules: Rule) -> Iterator[Guest]:
        """Its port lets in TCP on port 8080, or what ``rules`` say."""
        nic = make_nic(self.inside, last, vni=self.vni)
        self.known = secured(nic, rules=rules or (let_in(6, 8080),))
        self.backend.learn(self.known)
        plugged = self.backend.plug("server", "web", nic)
        with guest(plugged, nic.mac_address, self.directory) as machine:
            machine.configure(f"10.20.0.{last}", 24, {"0.0.0.0/0": "10.20.0.1"})
            yield machine
        self.backend.unplug("server", nic.port_id)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(HostSettings(interface_prefix=prefix(), vxlan_port=14792), tmp_path)
    yield made
    made.backend.route([])
    assert (made.backend.leftovers(), made.backend.heal()) == ([], [])


@contextlib.contextmanager
def answering(run: Callable[[Callable[[], Any]], Any], address: str) -> Iterator[list[str]]:
    """A server there, which greets and then echoes: who it has heard of."""
    heard: list[str] = []
    kept: list[socket.socket] = []
    listener: socket.socket = run(lambda: socket.create_server((address, 8080)))

    def echo(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(b"hello")
            while text := connection.recv(100):
                connection.sendall(text)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, (client, _) = listener.accept()
                heard.append(client)
                kept.append(connection)
                threading.Thread(target=echo, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(20)
        for one in (listener, *kept):
            one.close()


def here(work: Callable[[], Any]) -> Any:
    return work()


def call(address: str, seconds: float = 3) -> socket.socket | None:
    try:
        made = socket.create_connection((address, 8080), timeout=seconds)
        assert made.recv(5) == b"hello"
    except OSError:
        return None
    return made


def reaches(run: Callable[[Callable[[], Any]], Any], address: str, seconds: float = 3) -> bool:
    connection = run(lambda: call(address, seconds))
    if connection is not None:
        connection.close()
    return connection is not None


def test_a_guest_reaches_out_under_the_routers_address(lab: Lab) -> None:
    lab.backend.route([lab.router])
    with lab.guest(10) as machine, answering(here, HOST) as heard:
        assert reaches(machine.run, HOST)
        assert heard == [OWN]
        lab.backend.route([lab.router.model_copy(update={"enable_snat": False})])
        assert not reaches(machine.run, HOST, 1)


def test_a_guest_is_reached_at_its_floating_ip_and_not_after(lab: Lab) -> None:
    lab.backend.route([lab.floating(**{FLOATING: "10.20.0.10"})])
    with lab.guest(10) as machine, answering(machine.run, "10.20.0.10") as heard:
        kept = call(FLOATING)
        assert kept is not None
        assert heard == [HOST], "the guest sees who calls"
        kept.sendall(b"?")
        assert kept.recv(1) == b"?"
        with answering(here, HOST) as called:
            assert reaches(machine.run, HOST)
            assert called == [FLOATING]
        lab.backend.route([lab.router])
        assert not reaches(here, FLOATING, 1)
        kept.settimeout(1)
        kept.sendall(b"still there?")
        with pytest.raises(TimeoutError):
            kept.recv(1)
        kept.close()


def test_guests_go_on_where_the_machine_lets_them(lab: Lab) -> None:
    beyond, bridge = f"beyond-{uuid.uuid4()}", names.bridge(lab.settings.interface_prefix, lab.outside)
    netns.run_in(beyond, lambda: None)

    def configure(device: str, address: str) -> None:
        with IPRoute() as ip:
            ip.addr("add", index=links.index(device), address=address, prefixlen=24)
            ip.link("set", index=links.index(device), state="up")

    try:
        with IPRoute() as ip:
            ip.link("add", ifname="out", kind="veth", peer={"ifname": "eth0", "net_ns_fd": beyond})
        configure("out", "198.51.100.1")
        netns.run_in(beyond, lambda: configure("eth0", "198.51.100.2"))
        rules = (
            'add chain ip out post { type nat hook postrouting priority srcnat; }; add rule ip out post oifname "out"'
        )
        nft.load(f"add table ip out; {rules} masquerade")
        lab.backend.route([lab.router])
        with lab.guest(10) as machine, answering(lambda work: netns.run_in(beyond, work), "198.51.100.2") as heard:
            assert not reaches(machine.run, "198.51.100.2", 1)
            for device in (bridge, "out"):
                links.set_sysctl("ipv4/conf/{}/forwarding", device, "1")
            assert reaches(machine.run, "198.51.100.2")
            assert heard == ["198.51.100.1"]
            LinuxNetworkBackend(lab.settings, lab.directory).heal()
            assert Path(f"/proc/sys/net/ipv4/conf/{bridge}/forwarding").read_text().strip() == "1"
    finally:
        nft.load("add table ip out; delete table ip out")
        with IPRoute() as ip:
            links.remove(ip, ["out"])
        netns.remove(beyond)


def test_security_groups_see_who_calls_a_floating_ip(lab: Lab) -> None:
    lab.backend.route([lab.floating(**{FLOATING: "10.20.0.10"})])
    for allowed, is_reached in ((f"{HOST}/32", True), (f"{OWN}/32", False)):
        rule = let_in(6, 8080, prefix=allowed)
        with lab.guest(10, rule) as machine, answering(machine.run, "10.20.0.10"):
            assert reaches(here, FLOATING, 1) is is_reached


def test_a_floating_ip_moves_to_another_guest(lab: Lab) -> None:
    lab.backend.route([lab.floating(**{FLOATING: "10.20.0.10"})])
    with (
        lab.guest(10) as first,
        lab.guest(11) as second,
        answering(first.run, "10.20.0.10") as one,
        answering(second.run, "10.20.0.11") as two,
    ):
        assert reaches(here, FLOATING)
        lab.backend.route([lab.floating(**{FLOATING: "10.20.0.11"})])
        assert reaches(here, FLOATING)
        assert (one, two) == ([HOST], [HOST])
        assert reaches(second.run, "10.20.0.10")
        lab.backend.route([lab.floating(**{FLOATING: "10.20.0.10"})])
        assert reaches(second.run, FLOATING), "a neighbour by its floating IP"


def test_a_router_joins_networks_and_has_routes(lab: Lab) -> None:
    third = str(uuid.uuid4())
    joined = lab.nic(third, 2, "10.30.0.1/24")
    routes = (HostRoute(destination="198.51.100.0/24", nexthop="10.30.0.20"),)
    router = lab.router.model_copy(update={"inside": (*lab.router.inside, joined), "routes": routes, "outside": None})
    lab.backend.route([router])
    nic = make_nic(third, 20, vni=lab.vni + 2, net="10.30.0")
    lab.backend.learn(unsecured(nic))
    plugged = lab.backend.plug("other", "web", nic)
    with lab.guest(10) as machine, guest(plugged, nic.mac_address, lab.directory) as other:
        other.configure("10.30.0.20", 24, {"0.0.0.0/0": "10.30.0.1"})
        other.configure("198.51.100.7", 32, {})
        for address in ("10.30.0.20", "198.51.100.7"):
            with answering(other.run, address) as heard:
                assert reaches(machine.run, address)
                assert heard == ["10.20.0.10"]
        lab.backend.route([router.model_copy(update={"routes": ()})])
        assert not reaches(machine.run, "198.51.100.7", 1)
        lab.backend.route([lab.router])
        assert not reaches(machine.run, "10.30.0.20", 1)
    lab.backend.unplug("other", nic.port_id)


def test_what_is_taken_away_is_mended(lab: Lab) -> None:
    wanted = lab.floating(**{FLOATING: "10.20.0.10"})
    lab.backend.route([wanted])
    host_prefix = lab.settings.interface_prefix
    with lab.guest(10) as machine, answering(machine.run, "10.20.0.10"):
        for name in (
            names.bridge(host_prefix, lab.outside),
            names.router_veth(host_prefix, wanted.inside[0].port_id),
        ):
            with IPRoute() as ip:
                links.remove(ip, [name])
            assert not reaches(here, FLOATING, 1)
            assert lab.backend.heal() != []
            assert reaches(here, FLOATING)
        netns.remove(names.router_namespace(host_prefix, wanted.id))
        assert lab.backend.heal() == [wanted.id]
        assert reaches(here, FLOATING)
        assert lab.backend.heal() == []
        anew = LinuxNetworkBackend(lab.settings, lab.directory)
        anew.learn(lab.known)
        anew.heal()
        assert reaches(here, FLOATING), "a worker that starts finds its routers in its files"


def test_an_address_of_the_machine_stays_its_own(lab: Lab) -> None:
    with IPRoute() as ip:
        ip.link("add", ifname="mine", kind="veth", peer="theirs")
        ip.addr("add", index=links.index("mine"), address="203.0.113.200", prefixlen=25)
        try:
            with pytest.raises(HostRejected, match="another device"):
                lab.backend.route([lab.router])
        finally:
            links.remove(ip, ["mine"])
    lab.backend.route([lab.router])
    assert lab.backend.heal() == []


_WORKER = """
import os, sys
from pathlib import Path
from infra.domain.host_router import HostRouter
from infra.network.linux import LinuxNetworkBackend
from infra.settings import HostSettings
backend = LinuxNetworkBackend(HostSettings.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
routers = [HostRouter.model_validate_json(text) for text in sys.argv[3:]]
os.write(1, b"ready")
while True:
    for router in routers:
        backend.route([router])
    backend.route([])
"""


def test_a_worker_killed_at_any_moment_leaves_what_the_next_one_mends(lab: Lab) -> None:
    wanted = lab.floating(**{FLOATING: "10.20.0.10"})
    texts = [router.model_dump_json() for router in (lab.router, wanted)]
    with lab.guest(10) as machine, answering(machine.run, "10.20.0.10"):
        for _ in range(5):
            command = [sys.executable, "-c", _WORKER, lab.settings.model_dump_json(), str(lab.directory), *texts]
            worker = subprocess.Popen(command, stdout=subprocess.PIPE)
            assert worker.stdout is not None
            assert os.read(worker.stdout.fileno(), 5) == b"ready"
            with pytest.raises(subprocess.TimeoutExpired):
                worker.wait(random.uniform(0, 0.3))
            worker.send_signal(signal.SIGKILL)
            worker.wait(10)
            worker.stdout.close()
            anew = LinuxNetworkBackend(lab.settings, lab.directory)
            anew.learn(lab.known)
            anew.route([wanted])
            assert reaches(here, FLOATING)
            anew.route([])
            anew.remove_leftovers()
            assert (anew.leftovers(), anew.heal()) == ([], [])
            assert not reaches(here, FLOATING, 0.5)
    lab.backend = LinuxNetworkBackend(lab.settings, lab.directory)
