"""One contract for every hypervisor driver: the fake keeps it as libvirt does."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.compute import qcow2
from infra.compute.driver import Driver
from infra.compute.fake import FakeDriver
from infra.domain.errors import Fenced, HostRejected, NotFound
from infra.domain.host import Inventory
from infra.domain.server import PowerState
from tests.contract.compute_fixtures import GuestMaker, libvirt_driver, libvirtd

__all__ = ["libvirt_driver", "libvirtd"]

ALL = [
    pytest.param("fake", id="fake"),
    pytest.param("libvirt", id="libvirt", marks=(pytest.mark.libvirt, pytest.mark.root)),
]


@pytest.fixture(params=ALL)
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Driver:
    if request.param == "fake":
        inventory = Inventory(vcpus=4, memory_mb=4096, disk_gb=40)
        return FakeDriver("host-1", inventory, directory=tmp_path / "fake")
    found: Driver = request.getfixturevalue("libvirt_driver")
    return found


@pytest.fixture
def make(tmp_path: Path) -> GuestMaker:
    return GuestMaker(tmp_path)


def power(driver: Driver, server_id: str) -> int:
    state = driver.state(server_id)
    assert state is not None
    return state.power_state


def test_a_defined_server_is_off(driver: Driver, make: GuestMaker) -> None:
    guest = make(attempt=3)
    driver.define(guest)
    state = driver.state(guest.server_id)
    assert state is not None
    assert (state.server_id, state.attempt, state.domain_name) == (guest.server_id, 3, guest.domain_name)
    assert state.power_state == PowerState.SHUTDOWN
    assert driver.domains() == [state]


def test_an_unknown_server_has_no_state_and_can_be_destroyed(driver: Driver, make: GuestMaker) -> None:
    server = make().server_id
    assert driver.state(server) is None
    driver.destroy(server)
    driver.detach_disk(server, "a volume", timeout_seconds=1)
    driver.detach_interface(server, "a port", timeout_seconds=1)


@pytest.mark.parametrize(
    "call",
    [
        lambda driver, server: driver.start(server),
        lambda driver, server: driver.stop(server, grace_seconds=0),
        lambda driver, server: driver.reboot(server, hard=True, grace_seconds=0),
        lambda driver, server: driver.pause(server),
        lambda driver, server: driver.suspend(server),
        lambda driver, server: driver.free_device(server),
    ],
    ids=["start", "stop", "reboot", "pause", "suspend", "free_device"],
)
def test_nothing_is_made_of_an_unknown_server(
    driver: Driver, make: GuestMaker, call: Callable[[Driver, str], object]
) -> None:
    with pytest.raises(NotFound):
        call(driver, make().server_id)
    assert driver.domains() == []


def test_starting_and_destroying_twice_is_starting_and_destroying(driver: Driver, make: GuestMaker) -> None:
    guest = make()
    driver.define(guest)
    driver.start(guest.server_id)
    driver.start(guest.server_id)
    assert power(driver, guest.server_id) == PowerState.RUNNING
    assert driver.report().running_vms == 1
    driver.destroy(guest.server_id)
    driver.destroy(guest.server_id)
    assert driver.state(guest.server_id) is None
    with pytest.raises(NotFound):
        driver.start(guest.server_id)


def test_defining_an_attempt_again_changes_nothing(driver: Driver, make: GuestMaker) -> None:
    guest = make()
    driver.define(guest)
    driver.attach_disk(guest.server_id, make.disk("vdb"))
    driver.define(guest)
    assert driver.free_device(guest.server_id) == "vdc"


def test_another_attempt_replaces_one_that_is_off_and_not_one_that_runs(driver: Driver, make: GuestMaker) -> None:
    guest = make()
    driver.define(guest)
    second = guest.model_copy(update={"attempt": 2})
    driver.define(second)
    driver.start(guest.server_id)
    with pytest.raises(HostRejected) as refused:
        driver.define(guest.model_copy(update={"attempt": 3}))
    assert refused.value.soft
    state = driver.state(guest.server_id)
    assert state is not None
    assert state.attempt == 2


def test_stop_cuts_the_power_of_a_guest_that_does_not_answer(driver: Driver, make: GuestMaker) -> None:
    guest = make()
    driver.define(guest)
    driver.start(guest.server_id)
    driver.stop(guest.server_id, grace_seconds=0.3)
    assert power(driver, guest.server_id) == PowerState.SHUTDOWN
    driver.stop(guest.server_id, grace_seconds=0)
    driver.start(guest.server_id)
    assert power(driver, guest.server_id) == PowerState.RUNNING


@pytest.mark.parametrize("hard", [True, False])
def test_reboot_ends_running_from_on_paused_or_off(driver: Driver, make: GuestMaker, hard: bool) -> None:
    guest = make()
    driver.define(guest)
    driver.reboot(guest.server_id, hard=hard, grace_seconds=0.2)
    assert power(driver, guest.server_id) == PowerState.RUNNING
    driver.reboot(guest.server_id, hard=hard, grace_seconds=0.2)
    assert power(driver, guest.server_id) == PowerState.RUNNING
    driver.pause(guest.server_id)
    driver.reboot(guest.server_id, hard=hard, grace_seconds=0.2)
    assert power(driver, guest.server_id) == PowerState.RUNNING


def test_pause_and_unpause(driver: Driver, make: GuestMaker) -> None:
    guest = make()
    driver.define(guest)
    with pytest.raises(HostRejected):
        driver.pause(guest.server_id)
    driver.start(guest.server_id)
    for _ in range(2):
        driver.pause(guest.server_id)
        assert power(driver, guest.server_id) == PowerState.PAUSED
    for _ in range(2):
        driver.unpause(guest.server_id)
        assert power(driver, guest.server_id) == PowerState.RUNNING


def test_suspend_and_resume(driver: Driver, make: GuestMaker) -> None:
    guest = make()
    driver.define(guest)
    driver.start(guest.server_id)
    for _ in range(2):
        driver.suspend(guest.server_id)
        assert power(driver, guest.server_id) == PowerState.SUSPENDED
    for _ in range(2):
        driver.resume(guest.server_id)
        assert power(driver, guest.server_id) == PowerState.RUNNING


def test_stopping_or_destroying_a_suspended_server_forgets_its_memory(driver: Driver, make: GuestMaker) -> None:
    guest = make()
    driver.define(guest)
    driver.start(guest.server_id)
    driver.suspend(guest.server_id)
    driver.stop(guest.server_id, grace_seconds=0)
    assert power(driver, guest.server_id) == PowerState.SHUTDOWN
    driver.start(guest.server_id)
    driver.suspend(guest.server_id)
    driver.destroy(guest.server_id)
    driver.define(guest)
    assert power(driver, guest.server_id) == PowerState.SHUTDOWN


@pytest.mark.parametrize("running", [False, True])
def test_disks_come_and_go(driver: Driver, make: GuestMaker, running: bool) -> None:
    guest = make()
    driver.define(guest)
    if running:
        driver.start(guest.server_id)
    assert driver.free_device(guest.server_id) == "vdb"
    disk = make.disk("vdb")
    driver.attach_disk(guest.server_id, disk)
    driver.attach_disk(guest.server_id, disk)
    assert driver.serials(guest.server_id).count(disk.serial[:20]) == 1
    assert driver.free_device(guest.server_id) == "vdc"
    with pytest.raises(HostRejected):
        driver.attach_disk(guest.server_id, make.disk("vdb"))
    # A guest that has no system can't let go of a disk: it is off when the disk goes.
    driver.stop(guest.server_id, grace_seconds=0)
    driver.detach_disk(guest.server_id, disk.serial, timeout_seconds=1)
    driver.detach_disk(guest.server_id, disk.serial, timeout_seconds=1)
    assert driver.free_device(guest.server_id) == "vdb"


def test_a_disk_stays_attached_over_stop_and_start(driver: Driver, make: GuestMaker) -> None:
    guest = make()
    driver.define(guest)
    driver.start(guest.server_id)
    driver.attach_disk(guest.server_id, make.disk("vdb"))
    driver.stop(guest.server_id, grace_seconds=0)
    driver.start(guest.server_id)
    assert driver.free_device(guest.server_id) == "vdc"


@pytest.mark.parametrize("running", [False, True])
def test_a_disk_is_copied_whole_and_the_guest_goes_on(driver: Driver, make: GuestMaker, running: bool) -> None:
    guest, target = make(), make.directory / "copy"
    driver.define(guest)
    if running:
        driver.start(guest.server_id)
    state = driver.state(guest.server_id)
    for _ in range(2):
        driver.copy_disk(guest.server_id, "vda", target, lambda: None)
    subprocess.run(["qemu-img", "check", "-f", "qcow2", target], check=True, capture_output=True)
    assert qcow2.size_of(target, "qcow2") > 0, "it needs no other file"
    for _ in range(2):
        driver.stop_copy(guest.server_id, target)
    assert driver.state(guest.server_id) == state
    with pytest.raises(NotFound):
        driver.copy_disk(guest.server_id, "vdx", make.directory / "none", lambda: None)
    driver.stop_copy(make().server_id, target)


def test_a_copy_that_is_stopped_leaves_nothing(driver: Driver, make: GuestMaker) -> None:
    guest, target = make(), make.directory / "copy"
    subprocess.run(["qemu-img", "resize", "-q", guest.disks[0].path, "2G"], check=True)
    subprocess.run(["qemu-io", "-c", "write 0 256M", guest.disks[0].path], check=True, capture_output=True)
    driver.define(guest)
    driver.start(guest.server_id)

    def told() -> None:
        raise Fenced("told to stop")

    with pytest.raises(Fenced):
        driver.copy_disk(guest.server_id, "vda", target, told)
    assert not target.exists()
    driver.copy_disk(guest.server_id, "vda", target, lambda: None)
    assert target.exists()


@pytest.mark.parametrize("name", ["</x><y a='\"&", "\x00\x1b[2J\x7f\uffff", "\n\t ../../etc/passwd ]]> <!--"])
def test_hostile_names_are_only_names(driver: Driver, make: GuestMaker, name: str) -> None:
    guest = make(name=name, flavor_name=name, project_id=name, user_id=name)
    driver.define(guest)
    driver.start(guest.server_id)
    assert [state.server_id for state in driver.domains()] == [guest.server_id]


def test_the_report_says_what_the_host_has(driver: Driver) -> None:
    report = driver.report()
    assert report.name == "host-1"
    assert report.inventory.vcpus > 0
    assert report.inventory.memory_mb > 1000
    assert report.inventory.disk_gb > 0
    assert report.hypervisor_version >= 1000000
    assert "q35" in " ".join(report.machine_types)
    assert report.cpu_info["arch"] == "x86_64"
    assert report.accelerator_reason
    assert report.running_vms == 0
