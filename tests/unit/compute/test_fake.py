"""The fake hypervisor's own abilities: it remembers over restarts, fails on demand, takes its time."""

import time
from pathlib import Path

import pytest

from infra.compute.driver import Disk, Guest
from infra.compute.fake import FakeDriver
from infra.domain.errors import HostRejected
from infra.domain.host import Inventory
from infra.domain.server import PowerState

INVENTORY = Inventory(vcpus=1, memory_mb=1024, disk_gb=10)


def guest(directory: Path) -> Guest:
    disk = Disk(path=directory / "d", format="qcow2", device="vda", serial="s")
    return Guest(
        server_id="id-1",
        attempt=1,
        name="n",
        domain_name="kn-id-1",
        project_id="p",
        user_id="u",
        flavor_name="f",
        vcpus=1,
        memory_mb=64,
        disks=(disk,),
        console_log=directory / "log",
    )


def test_a_restarted_worker_finds_its_domains(tmp_path: Path) -> None:
    first = FakeDriver("h", INVENTORY, directory=tmp_path)
    first.define(guest(tmp_path))
    first.start("id-1")
    second = FakeDriver("h", INVENTORY, directory=tmp_path)
    assert second.domains() == first.domains()
    assert second.guest("id-1") == guest(tmp_path)
    second.destroy("id-1")
    assert FakeDriver("h", INVENTORY, directory=tmp_path).domains() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("moment", "expected"), [("before", PowerState.SHUTDOWN), ("after", PowerState.RUNNING)])
def test_a_fault_comes_before_or_after_the_effect(tmp_path: Path, moment: str, expected: int) -> None:
    def fault(call: str, when: str) -> None:
        if (call, when) == ("start", moment):
            raise HostRejected("no")

    driver = FakeDriver("h", INVENTORY, fault=fault)
    driver.define(guest(tmp_path))
    with pytest.raises(HostRejected):
        driver.start("id-1")
    state = driver.state("id-1")
    assert state is not None
    assert state.power_state == expected


def test_a_device_is_one_running_guests(tmp_path: Path) -> None:
    driver = FakeDriver("h", INVENTORY)
    for id in ("id-1", "id-2"):
        driver.define(guest(tmp_path).model_copy(update={"server_id": id, "pci": ("0000:65:00.0",)}))
    driver.start("id-1")
    with pytest.raises(HostRejected, match="other guests"):
        driver.start("id-2")
    driver.start("id-1")
    driver.destroy("id-1")
    driver.start("id-2")


def test_a_start_takes_as_long_as_it_is_told(tmp_path: Path) -> None:
    driver = FakeDriver("h", INVENTORY, start_seconds=0.05)
    driver.define(guest(tmp_path))
    started = time.monotonic()
    driver.start("id-1")
    assert time.monotonic() - started >= 0.05
