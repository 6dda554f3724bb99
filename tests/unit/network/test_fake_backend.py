"""The fake's faults, and that it lives on in its directory."""

from pathlib import Path

import pytest

from infra.domain.errors import HostRejected
from infra.network.fake import FakeNetworkBackend
from tests.unit.network.test_dhcp import FOUR, port

NIC = port(FOUR).nic


def fail_at(effect: str) -> FakeNetworkBackend:
    backend = FakeNetworkBackend()

    def fault(at: str) -> None:
        if at == effect:
            raise HostRejected("injected")

    backend.fault = fault
    return backend


def test_a_fault_before_leaves_nothing() -> None:
    backend = fail_at("plug:before")
    with pytest.raises(HostRejected):
        backend.plug("server-1", "web", NIC)
    assert (backend.plugged(), backend.devices) == ({}, set())


def test_a_lost_reply_leaves_the_effect() -> None:
    backend = fail_at("plug:after")
    with pytest.raises(HostRejected):
        backend.plug("server-1", "web", NIC)
    assert backend.plugged() == {"server-1": [NIC.port_id]}
    backend.unplug("server-1", NIC.port_id)
    assert (backend.plugged(), backend.devices) == ({}, set())


def test_a_failed_unplug_can_be_repeated() -> None:
    backend = fail_at("unplug:before")
    backend.plug("server-1", "web", NIC)
    with pytest.raises(HostRejected):
        backend.unplug("server-1", NIC.port_id)
    assert backend.plugged() == {"server-1": [NIC.port_id]}


def test_a_lost_device_is_healed() -> None:
    backend = FakeNetworkBackend()
    plugged = backend.plug("server-1", "web", NIC)
    backend.devices.discard(plugged.bridge)
    assert backend.heal() == [NIC.network_id]
    assert plugged.bridge in backend.devices
    assert backend.heal() == []


def test_the_directory_outlives_it(tmp_path: Path) -> None:
    FakeNetworkBackend(tmp_path).plug("server-1", "web", NIC)
    assert FakeNetworkBackend(tmp_path).plugged() == {"server-1": [NIC.port_id]}
    assert FakeNetworkBackend(tmp_path).leftovers() == []
