"""Security groups with real packets: what is not let in does not come, what was let in ends with its rule, and nobody
speaks under another's name."""

import contextlib
import itertools
import random
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.domain.host_network import AddressPair, HostNetwork, SecuredPort
from infra.domain.network import Nic, NicAddress
from infra.network import names
from infra.network.linux import LinuxNetworkBackend, links, netns, nft, ruleset
from infra.settings import HostSettings
from tests.contract.network_guest import Guest, guest
from tests.contract.network_rules import CLIENTS, OUT, WEB, in_default_group, let_in, secured, together, unsecured
from tests.contract.test_network_backend import make_nic, prefix
from tests.unit.network.test_ruleset import FABRIC, GOLDEN, GROUP, KNOWN, PLUGGED

pytestmark = pytest.mark.root
SSH, HTTP, PING = 22, 80, let_in(1, 8, 0)
PATIENCE = 5.0
SILENCE = 0.4
"""Seconds after which what has not come is not coming."""


class Machine:
    """A guest with its address, that listens on some ports."""

    def __init__(self, inner: Guest, nic: Nic) -> None:
        self.inner, self.nic = inner, nic
        self.ip = nic.addresses[0].ip_address
        self._listening: list[socket.socket] = []
        inner.configure(self.ip, 24, {"169.254.169.254/32": "10.20.0.2"})

    def listen(self, *ports: int, family: int = socket.AF_INET, address: str = "") -> None:
        def work() -> None:
            for port in ports:
                listener = socket.create_server((address or self.ip, port), family=family)
                listener.settimeout(PATIENCE)
                self._listening.append(listener)

        self.inner.run(work)

    def connect(self, to: str, port: int, patience: float = PATIENCE, source: str = "") -> socket.socket:
        def work() -> socket.socket:
            bound = (source, 0) if source else None
            return socket.create_connection((to, port), timeout=patience, source_address=bound)

        made: socket.socket = self.inner.run(work)
        return made

    def reaches(self, to: str, port: int, source: str = "") -> bool:
        """A refusal comes from the other side, too."""
        try:
            self.connect(to, port, PATIENCE, source).close()
        except ConnectionRefusedError:
            return True
        return True

    def misses(self, to: str, port: int, source: str = "") -> bool:
        try:
            self.connect(to, port, SILENCE, source).close()
        except TimeoutError:
            return True
        return False

    def accept(self, number: int = 0) -> socket.socket:
        other = self._listening[number].accept()[0]
        other.settimeout(PATIENCE)
        return other

    def pings(self, to: str) -> bool:
        command = ["busybox", "ping", "-c", "1", "-W", "1", to]
        done = self.inner.run(lambda: subprocess.run(command, capture_output=True, timeout=20))
        return bool(done.returncode == 0)

    def close(self) -> None:
        for listener in self._listening:
            listener.close()


class Lan:
    """One network on one host, with two guests."""

    def __init__(self, backend: LinuxNetworkBackend, settings: HostSettings, folder: Path, stack: ExitStack) -> None:
        self.backend, self.prefix, self._folder, self._stack = backend, settings.interface_prefix, folder, stack
        self.network_id = str(uuid.uuid4())
        self.nics = [make_nic(self.network_id, last, vni=random.randrange(2**23, 2**24)) for last in (10, 11)]
        self.nics[1] = self.nics[1].model_copy(update={"vni": self.nics[0].vni})

    def run(self) -> tuple[Machine, Machine]:
        one, two = (self.add(nic) for nic in self.nics)
        return one, two

    def add(self, nic: Nic) -> Machine:
        plugged = self.backend.plug(f"server-{nic.mac_address}", "web", nic)
        machine = Machine(self._stack.enter_context(guest(plugged, nic.mac_address, self._folder)), nic)
        self._stack.callback(machine.close)
        return machine

    @property
    def table(self) -> str:
        return names.namespace(self.prefix, self.network_id)


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Lan]:
    settings = HostSettings(interface_prefix=prefix(), vxlan_port=14790)
    backend = LinuxNetworkBackend(settings, tmp_path / "state")
    with ExitStack() as stack:
        yield (made := Lan(backend, settings, tmp_path, stack))
    for server_id, ports in backend.plugged().items():
        for port_id in ports:
            backend.unplug(server_id, port_id)
    assert made.table not in nft.tables()
    assert backend.leftovers() == []


def test_what_no_rule_lets_in_stays_out_and_a_rule_that_goes_ends_what_it_let_in(lan: Lan) -> None:
    """At once, and nothing else."""
    client, web = lan.run()
    lan.backend.apply(secured(*lan.nics))
    web.listen(SSH, HTTP)
    assert client.misses(web.ip, SSH)
    assert not client.pings(web.ip)
    lan.backend.apply(secured(*lan.nics, rules=(let_in(6, SSH), let_in(6, HTTP), PING)))
    assert client.pings(web.ip)
    kept, going = client.connect(web.ip, SSH), client.connect(web.ip, HTTP)
    kept_there, going_there = web.accept(0), web.accept(1)
    lan.backend.apply(secured(*lan.nics, rules=(let_in(6, SSH),)))
    going.sendall(b"late")
    going_there.settimeout(SILENCE)
    with pytest.raises(TimeoutError):
        going_there.recv(4)
    kept.sendall(b"ping")
    assert kept_there.recv(4) == b"ping"
    kept_there.sendall(b"pong")
    assert kept.recv(4) == b"pong"
    assert client.misses(web.ip, HTTP)
    assert not client.pings(web.ip)
    for one in (kept, kept_there, going, going_there):
        one.close()


def test_a_range_of_ports_and_a_prefix(lan: Lan) -> None:
    client, web = lan.run()
    near = let_in(6, 8000, 8001, prefix="10.20.0.8/29")
    far = let_in(6, 9000, 9000, prefix="10.30.0.0/16")
    lan.backend.apply(secured(*lan.nics, rules=(near, far, let_in(17, 53))))
    assert client.reaches(web.ip, 8001)
    for port in (7999, 8002, 9000, 53):
        assert client.misses(web.ip, port)


def test_members_of_a_group_come_in_and_others_do_not(lan: Lan) -> None:
    member, web = lan.run()
    other = lan.add(make_nic(lan.network_id, 12, vni=lan.nics[0].vni))
    nics = (*lan.nics, other.nic)
    rule = let_in(6, group=CLIENTS)
    lan.backend.apply(secured(*nics, rules=(rule,), members=(member.nic,)))
    assert member.reaches(web.ip, SSH)
    assert other.misses(web.ip, SSH)
    lan.backend.apply(secured(*nics, rules=(rule,), members=(other.nic,)))
    assert member.misses(web.ip, SSH)
    assert other.reaches(web.ip, SSH)


def test_the_default_group_is_open_to_itself_over_both_protocols(lan: Lan) -> None:
    six = [
        NicAddress(ip_address=f"fd00:20::{n}", cidr="fd00:20::/64", gateway_ip=None, dhcp_ip="fd00:20::2")
        for n in (10, 11)
    ]
    both = zip(lan.nics, six, strict=True)
    lan.nics = [nic.model_copy(update={"addresses": (*nic.addresses, more)}) for nic, more in both]
    lan.backend.learn(in_default_group(*lan.nics))
    one, two = lan.run()
    for machine, address in ((one, six[0]), (two, six[1])):
        machine.inner.configure(address.ip_address, 64, {})
    assert one.reaches(two.ip, SSH)
    assert two.reaches(one.ip, SSH)
    assert one.reaches("fd00:20::11", SSH)
    lan.backend.apply(secured(*lan.nics, rules=(let_in(58, 128, 0, ethertype="IPv6"), let_in(6, SSH))))
    assert one.pings("fd00:20::11")
    assert one.misses("fd00:20::11", SSH), "a rule is for one protocol"
    assert one.reaches(two.ip, SSH)


def test_a_group_without_egress_rules_answers_and_asks_nothing(lan: Lan) -> None:
    client, web = lan.run()
    shut = HostNetwork(
        ports=(SecuredPort(id=web.nic.port_id, groups=(CLIENTS,)), SecuredPort(id=client.nic.port_id, groups=(WEB,))),
        rules={CLIENTS: (let_in(6, SSH),), WEB: (*OUT, let_in(6, SSH))},
    )
    lan.backend.apply(shut)
    web.listen(SSH)
    assert client.reaches(web.ip, SSH)
    assert web.misses(client.ip, SSH)
    lease = web.inner.dhcp()
    assert lease is not None, "DHCP needs no rule"


def test_nobody_speaks_under_another_name(lan: Lan) -> None:
    liar, web = lan.run()
    rules = (let_in(6, SSH), let_in(6, HTTP))
    lan.backend.apply(secured(*lan.nics, rules=rules))
    stolen = "10.20.0.77"
    liar.inner.configure(stolen, 24, {})
    assert liar.reaches(web.ip, SSH)
    assert liar.misses(web.ip, SSH, source=stolen)
    paired = secured(liar.nic, pairs=(AddressPair(mac_address=liar.nic.mac_address, prefix="10.20.0.64/26"),))
    lan.backend.apply(together(paired, secured(web.nic, rules=rules)))
    assert liar.reaches(web.ip, SSH, source=stolen)
    lan.backend.apply(secured(*lan.nics, rules=rules))
    _set_mac(liar, "fa:16:3e:00:00:99")
    assert liar.misses(web.ip, SSH)
    _set_mac(liar, liar.nic.mac_address)
    assert liar.reaches(web.ip, SSH)


def _set_mac(machine: Machine, mac: str) -> None:
    def work() -> None:
        with links.netlink() as ip:
            ip.link("set", index=links.index("eth0"), address=mac)

    machine.inner.run(work)


def test_a_port_without_port_security_lets_all_through(lan: Lan) -> None:
    client, web = lan.run()
    lan.backend.apply(together(unsecured(web.nic), secured(client.nic)))
    assert client.reaches(web.ip, SSH)
    assert web.misses(client.ip, SSH), "the other one has it"
    lan.backend.apply(unsecured(*lan.nics))
    stolen = "10.20.0.77"
    web.inner.configure(stolen, 24, {})
    assert web.reaches(client.ip, SSH, source=stolen)


def test_a_stateless_group_needs_a_rule_for_replies(lan: Lan) -> None:
    client, web = lan.run()
    lan.backend.apply(together(secured(client.nic, stateful=False), secured(web.nic, rules=(let_in(6, SSH),))))
    assert client.misses(web.ip, SSH)


def test_a_port_that_nothing_is_known_of_is_shut(lan: Lan) -> None:
    client, web = lan.run()
    lan.backend.learn(secured(client.nic))
    assert client.misses(web.ip, SSH)
    assert web.inner.dhcp() is not None


def test_the_host_reaches_guests_from_their_networks_namespace(lan: Lan) -> None:
    """As an operator does who looks after one: it is the only way in that no rule is asked for."""
    lan.backend.learn(secured(*lan.nics))
    _, web = lan.run()
    web.listen(SSH)
    namespace = names.namespace(lan.prefix, lan.network_id)
    netns.run_in(namespace, lambda: socket.create_connection((web.ip, SSH), timeout=PATIENCE)).close()


def test_equal_networks_share_no_connections(lan: Lan, tmp_path: Path) -> None:
    """Else a reply in the one would open the other."""
    client, web = lan.run()
    lan.backend.apply(secured(*lan.nics, rules=(let_in(6, SSH),)))
    web.listen(SSH)
    with contextlib.closing(client.connect(web.ip, SSH)) as connected:
        port = connected.getsockname()[1]
        with ExitStack() as stack:
            settings = HostSettings(interface_prefix=lan.prefix, vxlan_port=14790)
            other = Lan(lan.backend, settings, tmp_path, stack)
            lan.backend.learn(secured(*other.nics))
            first, second = other.run()
            first.listen(port)

            def knock() -> None:
                bound = (second.ip, SSH)
                socket.create_connection((first.ip, port), timeout=SILENCE, source_address=bound)

            with pytest.raises(TimeoutError):
                second.inner.run(knock)
        for nic in other.nics:
            lan.backend.unplug(f"server-{nic.mac_address}", nic.port_id)


def test_what_somebody_flushed_is_loaded_again(lan: Lan) -> None:
    client, web = lan.run()
    lan.backend.apply(secured(*lan.nics))
    nft.remove([lan.table])
    assert lan.backend.heal() == [lan.network_id]
    assert lan.backend.heal() == []
    assert client.misses(web.ip, SSH)
    # Or sooner, where it is to be changed.
    nft.remove([lan.table])
    lan.backend.apply(secured(*lan.nics, rules=(let_in(6, SSH),)))
    assert client.reaches(web.ip, SSH)
    assert client.misses(web.ip, HTTP)


def test_a_worker_that_starts_takes_over_what_is_there(lan: Lan, tmp_path: Path) -> None:
    """What it reads first is enforced before anything else, and nothing was open in between."""
    client, web = lan.run()
    lan.backend.apply(secured(*lan.nics, rules=(let_in(6, SSH),)))
    settings = HostSettings(interface_prefix=lan.prefix, vxlan_port=14790)
    again = LinuxNetworkBackend(settings, tmp_path / "state")
    assert client.reaches(web.ip, SSH)
    again.apply(secured(*lan.nics, rules=(let_in(6, HTTP),)))
    assert client.misses(web.ip, SSH)
    assert client.reaches(web.ip, HTTP)


def test_a_stranger_that_forwards_nothing_does_not_part_guests(lan: Lan) -> None:
    """As Docker's and many a firewall's policy: also one that comes later, and is left as it was."""
    strangers = [f"stranger-{number}-{lan.prefix}" for number in (1, 2)]
    before = [f"table ip {name}" for name in strangers]

    def begin(name: str) -> None:
        nft.load(f"table ip {name} {{ chain FORWARD {{ type filter hook forward priority 0; policy drop; }}\n}}\n")

    try:
        begin(strangers[0])
        lan.backend.learn(in_default_group(*lan.nics))
        client, web = lan.run()
        assert client.reaches(web.ip, SSH)
        begin(strangers[1])
        assert client.misses(web.ip, SSH)
        lan.backend.heal()
        assert client.reaches(web.ip, SSH)
        for nic in lan.nics:
            lan.backend.unplug(f"server-{nic.mac_address}", nic.port_id)
        for name in strangers:
            assert "accept comment" not in nft.ask("list", "table", "ip", name)
    finally:
        nft.load("".join(f"{table}\ndelete {table}\n" for table in before))


def test_the_kernel_takes_every_kind_of_rule(lan: Lan) -> None:
    """All at once, and one after the other: it is the same table in the end, with nothing left of what there was."""
    name = names.namespace(FABRIC.prefix, FABRIC.network_id)
    steps = [ruleset.render(FABRIC, PLUGGED[:count], KNOWN) for count in (0, 1, 4, 2, 0)]
    shrunk = KNOWN.model_copy(update={"rules": {}, "members": {}})
    wider = KNOWN.model_copy(update={"members": {GROUP: ("10.0.0.0/24", "192.0.2.1")}})
    steps[2:2] = [ruleset.render(FABRIC, PLUGGED[:2], known) for known in (shrunk, wider, KNOWN, wider)]
    try:
        nft.load(GOLDEN.read_text())
        nft.load(steps[0].whole())
        for before, after in itertools.pairwise(steps):
            nft.load(after.since(before))
            grown = _listed(name)
            nft.load(after.whole())
            assert grown == _listed(name)
    finally:
        nft.remove([name])


def _listed(name: str) -> list[str]:
    """Each set, map, chain and what is in it, in no order but that of rules in their chain."""
    parts = nft.ask("list", "table", "bridge", name).replace("\n\t\t\t     ", " ").split("\n\n")
    return sorted(part.removeprefix(f"table bridge {name} {{\n").removesuffix("\n}\n") for part in parts)


def test_a_table_of_no_network_is_a_leftover(lan: Lan) -> None:
    gone = names.namespace(lan.prefix, str(uuid.uuid4()))
    nft.load(f"table bridge {gone}\n")
    assert lan.backend.leftovers() == [f"table {gone}"]
    assert lan.backend.remove_leftovers() == [f"table {gone}"]
    assert gone not in nft.tables()


def test_a_guest_that_was_unplugged_is_not_in_the_network(lan: Lan) -> None:
    client, web = lan.run()
    lan.backend.apply(unsecured(*lan.nics))
    assert client.reaches(web.ip, SSH)
    lan.backend.unplug(f"server-{client.nic.mac_address}", client.nic.port_id)
    with pytest.raises(OSError, match=r"timed out|No route"):
        client.connect(web.ip, SSH, SILENCE)
