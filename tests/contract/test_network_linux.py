"""Linux networking with real packets: leases, repairs, and nothing but the port's own guest is served."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from pyroute2 import IPRoute

from infra.compute.metadata import GuestMetadata
from infra.domain.errors import HostRejected
from infra.domain.network import NicAddress
from infra.network import names
from infra.network.linux import LinuxNetworkBackend, dnsmasq, links, netns
from infra.network.metadata_server import MetadataServer
from infra.settings import HostSettings
from tests.contract.network_dhcpv6 import solicit
from tests.contract.network_guest import guest
from tests.contract.test_network_backend import HOSTILE, make_nic, prefix

pytestmark = pytest.mark.root


@pytest.fixture
def vni() -> int:
    return random.randrange(2**23, 2**24 - 2)


@pytest.fixture
def network_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def settings() -> HostSettings:
    return HostSettings(interface_prefix=prefix(), vxlan_port=14790)


@pytest.fixture
def backend(settings: HostSettings, tmp_path: Path) -> Iterator[LinuxNetworkBackend]:
    made = LinuxNetworkBackend(settings, tmp_path / "state")
    yield made
    for server_id, ports in made.plugged().items():
        for port_id in ports:
            made.unplug(server_id, port_id)
    assert made.leftovers() == []


@pytest.fixture
def server(backend: LinuxNetworkBackend, network_id: str, tmp_path: Path) -> Path:
    """Folder of the network's DHCP server."""
    return tmp_path / "state" / "networks" / network_id


def test_a_guest_gets_its_address_and_routes(
    backend: LinuxNetworkBackend, network_id: str, vni: int, tmp_path: Path
) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    plugged = backend.plug("server-1", "My Server!", nic)
    with guest(plugged, nic.mac_address, tmp_path) as machine:
        lease = machine.dhcp()
    assert lease is not None
    assert (lease["ip"], lease["mask"], lease["router"]) == ("10.20.0.10", "24", "10.20.0.1")
    assert (lease["hostname"], lease["mtu"], lease["serverid"]) == ("my-server", "1400", "10.20.0.2")
    assert lease["dns"] == "192.0.2.53 192.0.2.54"
    assert lease["staticroutes"].split() == [
        *("169.254.169.254/32", "10.20.0.2"),
        *("198.51.100.0/24", "10.20.0.9"),
        *("0.0.0.0/0", "10.20.0.1"),
    ]
    assert int(lease["lease"]) == 86400


def test_without_a_gateway_there_is_no_router(
    backend: LinuxNetworkBackend, network_id: str, vni: int, tmp_path: Path
) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    bare = NicAddress(ip_address="10.20.0.10", cidr="10.20.0.0/24", gateway_ip=None, dhcp_ip="10.20.0.2")
    nic = nic.model_copy(update={"addresses": (bare,)})
    with guest(backend.plug("server-1", "web", nic), nic.mac_address, tmp_path) as machine:
        lease = machine.dhcp()
    assert lease is not None
    assert "router" not in lease
    assert "dns" not in lease
    assert lease["staticroutes"].split() == ["169.254.169.254/32", "10.20.0.2"]


@pytest.mark.parametrize("addressed", [True, False])
def test_a_port_without_dhcp_is_plugged_and_gets_nothing(
    backend: LinuxNetworkBackend, network_id: str, vni: int, tmp_path: Path, addressed: bool
) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    silent = NicAddress(ip_address="10.20.0.10", cidr="10.20.0.0/24", gateway_ip=None, enable_dhcp=False)
    nic = nic.model_copy(update={"addresses": (silent,) if addressed else ()})
    with guest(backend.plug("server-1", "web", nic), nic.mac_address, tmp_path) as machine:
        assert machine.dhcp(tries=1) is None
    served = make_nic(network_id, 11, vni=vni)
    with guest(backend.plug("server-2", "web", served), served.mac_address, tmp_path) as machine:
        assert machine.dhcp() is not None


def test_the_namespace_routes_nothing(
    backend: LinuxNetworkBackend, settings: HostSettings, network_id: str, vni: int
) -> None:
    backend.plug("server-1", "web", make_nic(network_id, 10, vni=vni))
    namespace = names.namespace(settings.interface_prefix, network_id)
    assert netns.run_in(namespace, Path("/proc/sys/net/ipv4/ip_forward").read_text).strip() == "0"


def test_another_mac_gets_nothing(backend: LinuxNetworkBackend, network_id: str, vni: int, tmp_path: Path) -> None:
    plugged = backend.plug("server-1", "web", make_nic(network_id, 10, vni=vni))
    with guest(plugged, "fa:16:3e:ff:ff:ff", tmp_path) as machine:
        assert machine.dhcp(tries=1) is None


@pytest.mark.parametrize("hostname", HOSTILE)
def test_hostile_hostnames_reach_nobody(
    backend: LinuxNetworkBackend, network_id: str, vni: int, tmp_path: Path, hostname: str
) -> None:
    nic, neighbour = make_nic(network_id, 10, vni=vni), make_nic(network_id, 11, vni=vni)
    backend.plug("server-1", hostname, nic)
    with guest(backend.plug("server-2", "web", neighbour), neighbour.mac_address, tmp_path) as machine:
        lease = machine.dhcp()
    assert lease is not None
    assert (lease["ip"], lease["router"], lease["hostname"]) == ("10.20.0.11", "10.20.0.1", "web")


@pytest.mark.parametrize("hostname", ["ignore", "1h", "infinite", "1234", "fa", "tag", "id"])
def test_names_that_dnsmasq_has_a_meaning_for_are_names(
    backend: LinuxNetworkBackend, network_id: str, vni: int, tmp_path: Path, hostname: str
) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    with guest(backend.plug("server-1", hostname, nic), nic.mac_address, tmp_path) as machine:
        lease = machine.dhcp()
    assert lease is not None
    assert (lease["ip"], lease["hostname"], lease["lease"]) == ("10.20.0.10", hostname, "86400")


def test_two_servers_may_have_one_name(
    backend: LinuxNetworkBackend, network_id: str, vni: int, tmp_path: Path, server: Path
) -> None:
    """Also: a server that answered one guest learns of the next without a new process."""
    process = None
    for last in (10, 11, 12):
        nic = make_nic(network_id, last, vni=vni)
        with guest(backend.plug(f"server-{last}", "web", nic), nic.mac_address, tmp_path) as machine:
            lease = machine.dhcp()
        assert lease is not None
        assert (lease["ip"], lease["hostname"]) == (f"10.20.0.{last}", "web")
        assert dnsmasq.find(server) == (process := process or dnsmasq.find(server))


def test_a_guest_that_runs_is_back_when_its_bridge_is(
    backend: LinuxNetworkBackend, network_id: str, vni: int, tmp_path: Path
) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    plugged = backend.plug("server-1", "web", nic)
    with guest(plugged, nic.mac_address, tmp_path) as machine:
        with IPRoute() as ip:
            links.remove(ip, [plugged.bridge])
        assert machine.dhcp(tries=1) is None
        backend.heal()
        assert machine.dhcp() is not None


def test_an_address_can_go_to_another_guest_at_once(
    backend: LinuxNetworkBackend, network_id: str, vni: int, tmp_path: Path
) -> None:
    """The DHCP server remembers the lease of a guest that is gone; the next one must not wait for its end."""
    staying, first, second = (make_nic(network_id, last, vni=vni) for last in (9, 10, 11))
    second = second.model_copy(update={"addresses": first.addresses})
    backend.plug("server-0", "stays", staying)
    with guest(backend.plug("server-1", "web", first), first.mac_address, tmp_path) as machine:
        assert machine.dhcp() is not None
    backend.unplug("server-1", first.port_id)
    with guest(backend.plug("server-2", "web", second), second.mac_address, tmp_path) as machine:
        lease = machine.dhcp()
    assert lease is not None
    assert lease["ip"] == "10.20.0.10"


def test_an_unplugged_port_is_not_served(
    backend: LinuxNetworkBackend, network_id: str, vni: int, tmp_path: Path
) -> None:
    staying, going = make_nic(network_id, 10, vni=vni), make_nic(network_id, 11, vni=vni)
    backend.plug("server-1", "web", staying)
    plugged = backend.plug("server-2", "web", going)
    backend.unplug("server-2", going.port_id)
    with guest(plugged, going.mac_address, tmp_path) as machine:
        assert machine.dhcp(tries=1) is None


def test_equal_cidrs_stay_apart(backend: LinuxNetworkBackend, vni: int, tmp_path: Path) -> None:
    first, second = (make_nic(str(uuid.uuid4()), 10, vni=vni + number) for number in (0, 1))
    second = second.model_copy(update={"mac_address": "fa:16:3e:00:00:77"})
    with (
        guest(backend.plug("server-1", "one", first), first.mac_address, tmp_path) as one,
        guest(backend.plug("server-2", "two", second), second.mac_address, tmp_path) as two,
    ):
        leases = one.dhcp(), two.dhcp()
    assert [lease and (lease["ip"], lease["hostname"]) for lease in leases] == [
        ("10.20.0.10", "one"),
        ("10.20.0.10", "two"),
    ]


def test_a_second_subnet_joins_a_network_that_runs(
    backend: LinuxNetworkBackend, network_id: str, vni: int, tmp_path: Path
) -> None:
    backend.plug("server-1", "web", make_nic(network_id, 10, vni=vni))
    nic = make_nic(network_id, 11, vni=vni, net="10.30.0")
    with guest(backend.plug("server-2", "web", nic), nic.mac_address, tmp_path) as machine:
        lease = machine.dhcp()
    assert lease is not None
    assert (lease["ip"], lease["serverid"]) == ("10.30.0.11", "10.30.0.2")


def test_a_dead_dhcp_server_is_healed(
    backend: LinuxNetworkBackend, network_id: str, vni: int, tmp_path: Path, server: Path
) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    with guest(backend.plug("server-1", "web", nic), nic.mac_address, tmp_path) as machine:
        dnsmasq.stop(server)
        assert dnsmasq.find(server) is None
        assert backend.heal() == [network_id]
        assert backend.heal() == []
        lease = machine.dhcp()
    assert lease is not None
    assert lease["ip"] == "10.20.0.10"


def test_missing_devices_are_healed(
    backend: LinuxNetworkBackend, settings: HostSettings, network_id: str, vni: int, tmp_path: Path
) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    own = settings.interface_prefix
    for missing in (names.veth(own, network_id), names.tunnel(own, network_id), names.bridge(own, network_id)):
        plugged = backend.plug("server-1", "web", nic)
        with IPRoute() as ip:
            links.remove(ip, [missing])
        assert backend.heal() == [network_id]
        with guest(plugged, nic.mac_address, tmp_path) as machine:
            assert machine.dhcp() is not None
    netns.remove(names.namespace(own, network_id))
    assert backend.heal() == [network_id]
    with guest(plugged, nic.mac_address, tmp_path) as machine:
        assert machine.dhcp() is not None


def test_the_dhcp_server_outlives_the_worker(
    settings: HostSettings, backend: LinuxNetworkBackend, network_id: str, vni: int, tmp_path: Path, server: Path
) -> None:
    """A worker of its own process plugs and is killed; the next one finds the same server and lets it run."""
    nic = make_nic(network_id, 10, vni=vni)
    code = (
        "import os, signal, sys; from pathlib import Path; from infra.domain.network import Nic;"
        "from infra.network.linux import LinuxNetworkBackend; from infra.settings import HostSettings;"
        "host = HostSettings.model_validate_json(sys.argv[1]); nic = Nic.model_validate_json(sys.argv[2]);"
        "LinuxNetworkBackend(host, Path(sys.argv[3])).plug('server-1', 'web', nic);"
        "os.killpg(0, signal.SIGKILL)"
    )
    arguments = [settings.model_dump_json(), nic.model_dump_json(), str(tmp_path / "state")]
    worker = subprocess.Popen([sys.executable, "-c", code, *arguments], start_new_session=True)
    assert worker.wait(30) == -signal.SIGKILL
    before = dnsmasq.find(server)
    assert before is not None
    assert backend.plugged() == {"server-1": [nic.port_id]}
    plugged = backend.plug("server-1", "web", nic)
    assert dnsmasq.find(server) == before
    with guest(plugged, nic.mac_address, tmp_path) as machine:
        assert machine.dhcp() is not None


def test_a_pid_file_that_names_a_stranger_is_not_believed(
    backend: LinuxNetworkBackend, network_id: str, vni: int, server: Path
) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    backend.plug("server-1", "web", nic)
    real = dnsmasq.find(server)
    (server / "pid").write_text(str(os.getpid()))
    assert backend.heal() == [network_id]
    found = dnsmasq.find(server)
    assert found not in (None, real, os.getpid())
    assert real is not None
    assert dnsmasq.command_line(real) == []


@pytest.fixture
def uvloop_policy() -> Iterator[None]:
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    yield
    asyncio.set_event_loop_policy(before)


@pytest.mark.usefixtures("uvloop_policy")
def test_it_works_in_a_process_that_runs_uvloop(backend: LinuxNetworkBackend, network_id: str, vni: int) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    backend.plug("server-1", "web", nic)
    assert backend.leftovers() == []
    backend.unplug("server-1", nic.port_id)
    assert backend.leftovers() == []


def test_devices_keep_the_host_out_of_the_network(
    backend: LinuxNetworkBackend, settings: HostSettings, network_id: str, vni: int
) -> None:
    bridge = backend.plug("server-1", "web", make_nic(network_id, 10, vni=vni)).bridge
    for setting, value in (("ipv6/conf/{}/disable_ipv6", "1"), ("ipv4/conf/{}/rp_filter", "1")):
        assert Path("/proc/sys/net", setting.format(bridge)).read_text().strip() == value
    with IPRoute() as ip:
        assert list(ip.get_addr(index=links.index(bridge))) == []
        link = ip.link("get", index=links.index(bridge))[0]
        data = link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
        tunnel = ip.link("get", index=links.index(names.tunnel(settings.interface_prefix, network_id)))[0]
    assert data.get_attr("IFLA_BR_STP_STATE") == 0
    assert (link.get_attr("IFLA_MTU"), tunnel.get_attr("IFLA_MTU")) == (1400, 1400)
    for family in ("iptables", "ip6tables", "arptables"):
        setting = Path(f"/proc/sys/net/bridge/bridge-nf-call-{family}")
        assert not setting.exists() or setting.read_text().strip() == "0"


def test_peers_are_exactly_those_set(
    backend: LinuxNetworkBackend, settings: HostSettings, network_id: str, vni: int
) -> None:
    tunnel = names.tunnel(settings.interface_prefix, network_id)

    def peers() -> set[str]:
        with IPRoute() as ip:
            entries = ip.fdb("dump", ifindex=links.index(tunnel))
            return {entry.get_attr("NDA_DST") for entry in entries if entry.get_attr("NDA_DST")}

    backend.set_peers(vni, ["192.0.2.1"])
    backend.plug("server-1", "web", make_nic(network_id, 10, vni=vni))
    assert peers() == {"192.0.2.1"}
    backend.set_peers(vni, ["192.0.2.2", "192.0.2.3"])
    assert peers() == {"192.0.2.2", "192.0.2.3"}
    backend.set_peers(vni, [])
    assert peers() == set()


def test_a_bridge_of_somebody_else_is_left_alone(
    backend: LinuxNetworkBackend, settings: HostSettings, network_id: str, vni: int, tmp_path: Path
) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    plugged = backend.plug("server-1", "web", nic)
    other = LinuxNetworkBackend(settings, tmp_path / "other")
    assert other.leftovers() == []
    with pytest.raises(HostRejected, match="belongs to somebody else"):
        other.plug("server-1", "web", nic)
    assert links.index(plugged.bridge) is not None
    assert backend.heal() == []


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own, as the worker's does beside its activities."""
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


def test_guests_read_their_own_metadata_in_equal_networks(
    backend: LinuxNetworkBackend, vni: int, tmp_path: Path, loop: asyncio.AbstractEventLoop
) -> None:
    """Also over a network that comes after the service began, and one that went and came again."""
    guests = {
        name: GuestMetadata(server_id=name, name=name, hostname=name, project_id="p")
        for name in ("server-1", "server-2")
    }
    service = MetadataServer(backend, guests.get)
    first, second = (make_nic(str(uuid.uuid4()), 10, vni=vni + number) for number in (0, 1))
    backend.plug("server-1", "web", first)
    asyncio.run_coroutine_threadsafe(service.__aenter__(), loop).result(10)
    try:
        backend.unplug("server-1", first.port_id)
        for server_id, nic in (("server-1", first), ("server-2", second)):
            plugged = backend.plug(server_id, "web", nic)
            asyncio.run_coroutine_threadsafe(service.refresh(), loop).result(10)
            with guest(plugged, nic.mac_address, tmp_path) as machine:
                lease = machine.dhcp()
                assert lease is not None
                destination, gateway = lease["staticroutes"].split()[:2]
                machine.configure(lease["ip"], int(lease["mask"]), {destination: gateway})
                assert machine.get("/latest/meta-data/hostname") == (200, server_id.encode())
                assert machine.get("/latest/user-data", {"X-Forwarded-For": "10.20.0.99"})[0] == 404
    finally:
        asyncio.run_coroutine_threadsafe(service.__aexit__(), loop).result(10)


def test_an_ipv6_subnet_is_served_by_dhcpv6(
    backend: LinuxNetworkBackend, network_id: str, vni: int, tmp_path: Path
) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    six = NicAddress(ip_address="fd00:20::a", cidr="fd00:20::/64", gateway_ip="fd00:20::1", dhcp_ip="fd00:20::2")
    nic = nic.model_copy(update={"addresses": (*nic.addresses, six)})
    with guest(backend.plug("server-1", "web", nic), nic.mac_address, tmp_path) as machine:
        lease = machine.dhcp()
        assert lease is not None
        assert lease["ip"] == "10.20.0.10"
        assert machine.run(lambda: solicit(nic.mac_address)) == "fd00:20::a"
