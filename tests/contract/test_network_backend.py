"""What every host's networking promises: the fake keeps it, and Linux keeps it with real packets."""

import random
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.domain.errors import BuildAborted
from infra.domain.network import HostRoute, Nic, NicAddress
from infra.network import names
from infra.network.backend import NetworkBackend
from infra.network.fake import FakeNetworkBackend
from infra.network.linux import LinuxNetworkBackend
from infra.settings import HostSettings
from tests.contract.network_guest import together

Factory = Callable[[], NetworkBackend]

HOSTILE = [
    "a,set:x,10.0.0.99",
    "x\ndhcp-option=3,6.6.6.6",
    "../../etc/passwd",
    "-leading-and-trailing-",
    "<b>&amp;\u0000\u001b[31m",
    "ünïcödé-サーバ",
    "n" * 300,
    "#comment",
    "",
]


def prefix() -> str:
    return random.choice("abcdefghij") + random.choice("pqrstu") + random.choice("klmno")


def make_nic(network_id: str, last: int, *, vni: int, net: str = "10.20.0") -> Nic:
    address = NicAddress(
        ip_address=f"{net}.{last}",
        cidr=f"{net}.0/24",
        gateway_ip=f"{net}.1",
        dns_nameservers=("192.0.2.53", "192.0.2.54"),
        host_routes=(HostRoute(destination="198.51.100.0/24", nexthop=f"{net}.9"),),
        dhcp_ip=f"{net}.2",
    )
    return Nic(
        port_id=str(uuid.uuid4()),
        network_id=network_id,
        vni=vni,
        mtu=1400,
        mac_address=f"fa:16:3e:00:00:{last:02x}",
        addresses=(address,),
    )


@pytest.fixture
def vni() -> int:
    return random.randrange(2**23, 2**24 - 2)


@pytest.fixture
def network_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture(params=["fake", pytest.param("linux", marks=pytest.mark.root)])
def factory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Factory]:
    """Makes backends over one directory, as a worker does that is started again and again."""
    own = prefix()
    made: list[NetworkBackend] = []

    def make() -> NetworkBackend:
        if request.param == "fake":
            made.append(FakeNetworkBackend(tmp_path, prefix=own))
        else:
            made.append(LinuxNetworkBackend(HostSettings(interface_prefix=own, vxlan_port=14790), tmp_path))
        return made[-1]

    yield make
    if made:
        for server_id, ports in made[-1].plugged().items():
            for port_id in ports:
                made[-1].unplug(server_id, port_id)
        made[-1].remove_leftovers()


@pytest.fixture
def backend(factory: Factory) -> NetworkBackend:
    return factory()


def test_a_plugged_port_is_named_and_counted(backend: NetworkBackend, network_id: str, vni: int) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    plugged = backend.plug("server-1", "web", nic)
    assert (plugged.port_id, plugged.mtu) == (nic.port_id, 1400)
    assert len(plugged.bridge) <= 15
    assert len(plugged.tap) <= 15
    assert backend.plugged() == {"server-1": [nic.port_id]}
    assert backend.leftovers() == []


def test_plugging_twice_changes_nothing(backend: NetworkBackend, network_id: str, vni: int) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    assert backend.plug("server-1", "web", nic) == backend.plug("server-1", "web", nic)
    assert backend.plugged() == {"server-1": [nic.port_id]}
    assert backend.heal() == []


def test_unplugging_what_is_not_there_is_success(backend: NetworkBackend) -> None:
    backend.unplug("server-1", str(uuid.uuid4()))
    assert backend.plugged() == {}


def test_many_ports_at_once_and_all_gone_again(backend: NetworkBackend, network_id: str, vni: int) -> None:
    nics = [make_nic(network_id, 10 + number, vni=vni) for number in range(10)]
    together(*[lambda nic=nic: backend.plug(f"server-{nic.port_id}", "web", nic) for nic in nics])
    assert len(backend.plugged()) == 10
    assert backend.leftovers() == []
    together(*[lambda nic=nic: backend.unplug(f"server-{nic.port_id}", nic.port_id) for nic in nics])
    assert backend.plugged() == {}
    assert backend.leftovers() == []


def test_plug_and_unplug_of_different_ports_at_once(backend: NetworkBackend, network_id: str, vni: int) -> None:
    """The network goes and comes while another port's plug needs it: whoever is plugged last has it."""
    staying, going = make_nic(network_id, 10, vni=vni), make_nic(network_id, 11, vni=vni)
    for _ in range(3):
        backend.plug("going", "web", going)
        together(
            lambda: backend.unplug("going", going.port_id),
            lambda: backend.plug("staying", "web", staying),
        )
        assert backend.plugged() == {"staying": [staying.port_id]}
        assert backend.heal() == []
        backend.unplug("staying", staying.port_id)


def test_a_restarted_worker_finds_everything(factory: Factory, network_id: str, vni: int) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    plugged = factory().plug("server-1", "web", nic)
    again = factory()
    assert again.plugged() == {"server-1": [nic.port_id]}
    assert again.leftovers() == []
    assert again.plug("server-1", "web", nic) == plugged
    again.unplug("server-1", nic.port_id)
    assert (again.plugged(), again.leftovers()) == ({}, [])


@pytest.mark.parametrize("hostname", HOSTILE)
def test_no_hostname_breaks_anything(backend: NetworkBackend, network_id: str, vni: int, hostname: str) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    backend.plug("server-1", hostname, nic)
    assert backend.plugged() == {"server-1": [nic.port_id]}
    backend.unplug("server-1", nic.port_id)
    assert backend.leftovers() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"mac_address": "fa:16:3e:00:00:01,set:x"},
        {"mac_address": "fa:16:3e:00:00:01\n"},
        {"port_id": "../../../tmp/evil"},
        {"network_id": "x/../../y"},
        {"vni": 0},
        {"vni": 2**24},
        {"mtu": 10},
        {"addresses": (NicAddress(ip_address="10.0.0.5\n", cidr="10.0.0.0/24", gateway_ip=None),)},
        {"addresses": (NicAddress(ip_address="10.0.0.5", cidr="10.0.0.0/99", gateway_ip=None),)},
        {"addresses": (NicAddress(ip_address="10.9.0.5", cidr="10.0.0.0/24", gateway_ip=None),)},
        {"addresses": (NicAddress(ip_address="10.0.0.5", cidr="10.0.0.0/24", gateway_ip="fd00::1"),)},
        {
            "addresses": (
                NicAddress(ip_address="10.0.0.5", cidr="10.0.0.0/24", gateway_ip=None, dns_nameservers=("x,y",)),
            )
        },
    ],
)
def test_malformed_descriptions_are_refused_and_leave_nothing(
    backend: NetworkBackend, network_id: str, vni: int, changes: dict[str, object]
) -> None:
    with pytest.raises(BuildAborted):
        backend.plug("server-1", "web", make_nic(network_id, 10, vni=vni).model_copy(update=changes))
    assert backend.plugged() == {}
    assert backend.leftovers() == []


def test_equal_cidrs_in_two_networks(backend: NetworkBackend, vni: int) -> None:
    first = make_nic(str(uuid.uuid4()), 10, vni=vni)
    second = make_nic(str(uuid.uuid4()), 10, vni=vni + 1)
    bridges = {backend.plug("server-1", "web", first).bridge, backend.plug("server-2", "web", second).bridge}
    assert len(bridges) == 2
    backend.unplug("server-1", first.port_id)
    assert backend.plugged() == {"server-2": [second.port_id]}
    assert backend.heal() == []


def test_a_port_that_no_file_accounts_for_is_a_leftover(
    factory: Factory, network_id: str, vni: int, tmp_path: Path
) -> None:
    nic = make_nic(network_id, 10, vni=vni)
    kept = make_nic(str(uuid.uuid4()), 11, vni=vni + 1)
    plugged = factory().plug("server-1", "web", nic)
    if isinstance(backend := factory(), FakeNetworkBackend):
        backend.devices |= {plugged.bridge, names.namespace(plugged.bridge[:3], network_id)}
        backend._ports.clear()
    else:
        backend.plug("server-2", "web", kept)
        (tmp_path / "ports" / f"{nic.port_id}.json").rename(tmp_path / "ports" / ".killed-before-its-end")
    assert {plugged.bridge, names.namespace(plugged.bridge[:3], network_id)} <= set(backend.leftovers())
    assert plugged.bridge in backend.remove_leftovers()
    assert backend.leftovers() == []
    assert list(tmp_path.glob("ports/.*")) == []
    assert network_id not in backend.heal()
