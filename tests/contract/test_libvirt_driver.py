"""What only a real hypervisor can show: guests that live, a daemon that dies, what a start leaves behind."""

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import libvirt as api
import pytest

from infra.compute import disks
from infra.compute.driver import Disk, Guest
from infra.compute.libvirt import connection as connections
from infra.compute.libvirt.driver import LibvirtDriver
from infra.compute.libvirt.probe import choose
from infra.compute.metadata import GuestKey, GuestMetadata
from infra.deploy.guest import GuestFiles
from infra.domain.errors import BuildAborted, HostRejected
from infra.domain.numa import CellWish, NumaWish, fit
from infra.domain.server import PowerState
from tests.contract.compute_fixtures import (
    GuestMaker,
    Libvirtd,
    bridge,
    console,
    guest_files,
    libvirt_driver,
    libvirtd,
    make_driver,
    wait_until,
)

__all__ = ["bridge", "guest_files", "libvirt_driver", "libvirtd"]

pytestmark = [pytest.mark.libvirt, pytest.mark.root]
# Guests are emulated, on a machine that does other things too.
BOOT_SECONDS = 180
READY = "kilonova-guest ready"

USER_DATA = b"""#!/bin/sh
for disk in /sys/block/vd*; do echo "disk ${disk##*/} serial=$(cat $disk/serial) size=$(cat $disk/size)"; done
echo "sudo=$(su -s /bin/sh -c 'sudo -n id -u' cirros) keys=$(wc -l </home/cirros/.ssh/authorized_keys)"
"""


@pytest.fixture
def make(tmp_path: Path, bridge: str) -> GuestMaker:
    return GuestMaker(tmp_path, bridge)


@pytest.fixture
def living(tmp_path: Path, bridge: str, guest_files: GuestFiles) -> GuestMaker:
    """Guests with a system that answers."""
    return GuestMaker(tmp_path, bridge, guest_files)


def boot(driver: LibvirtDriver, guest: Guest) -> None:
    driver.define(guest)
    driver.start(guest.server_id)
    wait_until(lambda: READY in console(guest), BOOT_SECONDS, "the guest")


def test_a_guest_reads_its_config_drive_and_sees_its_disks(libvirt_driver: LibvirtDriver, living: GuestMaker) -> None:
    guest = living()
    drive = living.directory / "config.iso"
    key = GuestKey(name="a key", public_key="ssh-ed25519 AAAA someone")
    metadata = GuestMetadata(
        server_id=guest.server_id, name='a "b" \\', hostname="web-1", project_id="p", keys=(key,), user_data=USER_DATA
    )
    disks.write_config_drive(drive, metadata)
    extra = Disk(path=drive, format="raw", device="vdz", serial="config-drive", read_only=True)
    volume = living.disk("vdb")
    guest = guest.model_copy(update={"disks": (*guest.disks, volume, extra)})
    boot(libvirt_driver, guest)
    wait_until(lambda: "user data ended with 0" in console(guest), BOOT_SECONDS, "the end of the user data")
    assert f"{READY} hostname=web-1 address=none metadata=config-drive" in console(guest)
    assert f"disk vdb serial={volume.serial[:20]} size=131072" in console(guest)
    assert "sudo=0 keys=1" in console(guest)


def test_a_guest_boots_from_its_own_disk_and_grows_into_it(
    libvirt_driver: LibvirtDriver, living: GuestMaker, guest_files: GuestFiles
) -> None:
    root = living.directory / "root.qcow2"
    disks.create_overlay(root, guest_files.disk, "qcow2", 1024**3)
    script = b"#!/bin/sh\necho \"root is $(df -m / | awk 'END { print $2 }') MiB\"\n"
    guest = living(kernel=None, ramdisk=None, kernel_arguments=None)
    drive = living.directory / "config.iso"
    metadata = GuestMetadata(server_id=guest.server_id, name="n", hostname="n", project_id="p", user_data=script)
    disks.write_config_drive(drive, metadata)
    system = Disk(path=root, format="qcow2", device="vda", serial="root", boot_index=0)
    config = Disk(path=drive, format="raw", device="vdb", serial="config-drive", read_only=True)
    guest = guest.model_copy(update={"disks": (system, config)})
    boot(libvirt_driver, guest)
    wait_until(lambda: "user data ended" in console(guest), BOOT_SECONDS, "the end of the user data")
    size = int(console(guest).split("root is ")[-1].split()[0])
    assert 850 < size <= 1024


def test_stop_and_soft_reboot_let_the_guest_shut_down(libvirt_driver: LibvirtDriver, living: GuestMaker) -> None:
    guest = living()
    boot(libvirt_driver, guest)
    libvirt_driver.reboot(guest.server_id, hard=False, grace_seconds=60)
    wait_until(lambda: console(guest).count(READY) == 2, BOOT_SECONDS, "the guest's second boot")
    assert console(guest).count("Power down") == 1
    libvirt_driver.stop(guest.server_id, grace_seconds=60)
    assert console(guest).count("Power down") == 2
    state = libvirt_driver.state(guest.server_id)
    assert state is not None
    assert state.power_state == PowerState.SHUTDOWN


def test_a_living_guest_lets_go_of_a_disk(libvirt_driver: LibvirtDriver, living: GuestMaker) -> None:
    guest = living()
    boot(libvirt_driver, guest)
    disk = living.disk("vdb")
    for _ in range(2):
        libvirt_driver.attach_disk(guest.server_id, disk)
        libvirt_driver.detach_disk(guest.server_id, disk.serial, timeout_seconds=30)
        assert libvirt_driver.free_device(guest.server_id) == "vdb"
        # QEMU has closed the file, or it could not be locked.
        subprocess.run(["qemu-io", "-c", "quit", disk.path], check=True, capture_output=True)


def test_a_living_guest_gets_an_interface_and_lets_go_of_it(libvirt_driver: LibvirtDriver, living: GuestMaker) -> None:
    first, second = living.interface(), living.interface()
    guest = living(interfaces=(first,))
    tap = Path("/sys/class/net") / second.tap
    boot(libvirt_driver, guest)
    for _ in range(2):
        libvirt_driver.attach_interface(guest.server_id, second)
        libvirt_driver.attach_interface(guest.server_id, second)
        assert (tap / "master").resolve().name == living.bridge
        libvirt_driver.detach_interface(guest.server_id, second.port_id, timeout_seconds=60)
        assert not tap.exists()
    # It stays through a stop, and goes while the guest is off; the last one goes as any other.
    libvirt_driver.attach_interface(guest.server_id, second)
    libvirt_driver.stop(guest.server_id, grace_seconds=0)
    libvirt_driver.start(guest.server_id)
    assert tap.exists()
    libvirt_driver.stop(guest.server_id, grace_seconds=0)
    for one in (first, second, second):
        libvirt_driver.detach_interface(guest.server_id, one.port_id, timeout_seconds=1)
    libvirt_driver.start(guest.server_id)
    assert not tap.exists()
    assert "<interface" not in libvirt_driver.definition(guest.server_id)


def test_a_guest_that_keeps_a_disk_is_reported_softly(libvirt_driver: LibvirtDriver, make: GuestMaker) -> None:
    guest = make()
    libvirt_driver.define(guest)
    libvirt_driver.start(guest.server_id)
    disk = make.disk("vdb")
    libvirt_driver.attach_disk(guest.server_id, disk)
    libvirt_driver.pause(guest.server_id)
    with pytest.raises(HostRejected) as refused:
        libvirt_driver.detach_disk(guest.server_id, disk.serial, timeout_seconds=0.5)
    assert refused.value.soft


def test_interfaces_are_taps_on_the_bridge_and_go_with_the_server(
    libvirt_driver: LibvirtDriver, make: GuestMaker
) -> None:
    interface = make.interface()
    guest = make(interfaces=(interface,))
    tap = Path("/sys/class/net") / interface.tap
    libvirt_driver.define(guest)
    assert not tap.exists()
    libvirt_driver.start(guest.server_id)
    assert (tap / "master").resolve().name == make.bridge
    assert (tap / "mtu").read_text().strip() == "1400"
    libvirt_driver.destroy(guest.server_id)
    assert not tap.exists()


def test_a_start_that_fails_leaves_nothing_running(libvirt_driver: LibvirtDriver, make: GuestMaker) -> None:
    missing = Disk(path=make.directory / "missing", format="qcow2", device="vda", serial="x", boot_index=0)
    bad = make.interface().model_copy(update={"bridge": "nosuchbridge"})
    for guest in (make(disks=(missing,)), make(interfaces=(bad,)), make(memory_mb=10**9)):
        libvirt_driver.define(guest)
        with pytest.raises(HostRejected):
            libvirt_driver.start(guest.server_id)
        state = libvirt_driver.state(guest.server_id)
        assert state is not None
        assert state.power_state == PowerState.SHUTDOWN
        assert not (Path("/sys/class/net") / bad.tap).exists()


def test_a_guest_that_is_killed_in_its_start_is_started_once_more(
    libvirt_driver: LibvirtDriver, make: GuestMaker
) -> None:
    guest = make()
    libvirt_driver.define(guest)
    with ThreadPoolExecutor(1) as beside:
        killed = beside.submit(_kill_first, f"guest={guest.domain_name}".encode())
        libvirt_driver.start(guest.server_id)
        first = killed.result()
    state = libvirt_driver.state(guest.server_id)
    assert state is not None
    assert state.power_state == PowerState.RUNNING
    assert not Path(f"/proc/{first}").exists()


def _kill_first(mark: bytes) -> int:
    """Kill the first process whose arguments hold ``mark`` as soon as it is there; its id."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if command.startswith(b"/usr/bin/qemu") and mark in command:
                os.kill(int(process.name), signal.SIGKILL)
                return int(process.name)
    raise AssertionError("no QEMU came")


def test_nonsense_is_refused_for_good(libvirt_driver: LibvirtDriver, make: GuestMaker) -> None:
    for guest in (make(domain_name="../x"), make(domain_name="a\nb"), make(server_id="no uuid", domain_name="kn-x")):
        with pytest.raises(BuildAborted):
            libvirt_driver.define(guest)


def test_domains_that_are_not_ours_are_not_seen(
    libvirt_driver: LibvirtDriver, libvirtd: Libvirtd, make: GuestMaker
) -> None:
    connection = api.open(libvirtd.uri)
    xml = "<domain type='qemu'><name>kn-other</name><memory>65536</memory><os><type>hvm</type></os></domain>"
    other = connection.defineXML(xml)
    try:
        guest = make()
        libvirt_driver.define(guest)
        assert [state.server_id for state in libvirt_driver.domains()] == [guest.server_id]
    finally:
        other.undefine()
        connection.close()


def test_guests_weigh_less_than_the_control_plane(
    libvirt_driver: LibvirtDriver, libvirtd: Libvirtd, make: GuestMaker, tmp_path: Path
) -> None:
    guest = make()
    connection = connections.Connection(libvirtd.uri)
    driver = make_driver(libvirtd, connection, tmp_path, guest_nice=10)
    driver.define(guest)
    driver.start(guest.server_id)
    connection.close()
    pid = int((libvirtd.directory / "run" / "qemu" / f"{guest.domain_name}.pid").read_text())
    threads = [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]
    assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads} == {10}


def test_a_guest_with_cpus_of_its_own_runs_there_and_the_others_elsewhere(
    libvirt_driver: LibvirtDriver, libvirtd: Libvirtd, make: GuestMaker, tmp_path: Path
) -> None:
    own = max(os.sched_getaffinity(0))
    connection = connections.Connection(libvirtd.uri)
    driver = make_driver(libvirtd, connection, tmp_path, cpu_dedicated_set=str(own))
    report = driver.report()
    assert (report.inventory.pcpus, report.inventory.vcpus) == (1, libvirt_driver.report().inventory.vcpus - 1)
    wish = NumaWish(cells=(CellWish(vcpus=(0,), memory_mb=128),), dedicated=True)
    placed = fit(report.numa, (), wish)
    assert placed is not None
    pinned, floating = make(numa=placed), make()
    for guest in (pinned, floating):
        driver.define(guest)
        driver.start(guest.server_id)
    connection.close()
    assert _cpus_of(libvirtd, pinned) == {own}
    assert own not in _cpus_of(libvirtd, floating)


def _cpus_of(libvirtd: Libvirtd, guest: Guest) -> set[int]:
    """Where any thread of a guest's may run."""
    pid = int((libvirtd.directory / "run" / "qemu" / f"{guest.domain_name}.pid").read_text())
    return {cpu for thread in Path(f"/proc/{pid}/task").iterdir() for cpu in os.sched_getaffinity(int(thread.name))}


def test_the_hosts_devices_are_offered_or_it_says_why_not(
    libvirtd: Libvirtd, tmp_path: Path, libvirt_driver: LibvirtDriver
) -> None:
    connection = connections.Connection(libvirtd.uri)
    report = make_driver(libvirtd, connection, tmp_path, pci_device_spec=({},)).report()
    connection.close()
    assert all(device.iommu_group is not None for device in report.pci_devices)
    assert report.pci_devices or report.pci_refused, "a host has PCI devices, or no driver that tells them"
    none = libvirt_driver.report()
    assert (none.pci_devices, none.pci_refused) == ((), ())


def test_a_guest_whose_device_is_not_there_is_refused_for_another_host_to_take(
    libvirt_driver: LibvirtDriver, make: GuestMaker
) -> None:
    guest = make(pci=("ffff:1f:1e.7",))
    libvirt_driver.define(guest)
    with pytest.raises(HostRejected) as refused:
        libvirt_driver.start(guest.server_id)
    assert not refused.value.soft
    libvirt_driver.destroy(guest.server_id)
    assert libvirt_driver.domains() == []


def test_a_guest_outlives_its_libvirtd_and_the_driver_finds_it_again(
    libvirt_driver: LibvirtDriver, libvirtd: Libvirtd, make: GuestMaker
) -> None:
    guest = make(interfaces=(make.interface(),))
    libvirt_driver.define(guest)
    libvirt_driver.start(guest.server_id)
    before = libvirt_driver.state(guest.server_id)
    libvirtd.kill()
    try:
        with pytest.raises(HostRejected) as refused:
            libvirt_driver.state(guest.server_id)
        assert refused.value.soft
    finally:
        libvirtd.start()
    assert libvirt_driver.state(guest.server_id) == before
    libvirt_driver.destroy(guest.server_id)
    assert libvirt_driver.domains() == []


def test_a_libvirtd_that_stands_still_holds_nobody_for_ever(
    libvirt_driver: LibvirtDriver, libvirtd: Libvirtd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_KEEPALIVE_SECONDS", 1)
    monkeypatch.setattr(connections, "_KEEPALIVE_COUNT", 1)
    monkeypatch.setattr(connections, "_OPEN_SECONDS", 0.5)
    assert libvirt_driver.domains() == []
    libvirtd.pause()
    try:
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(HostRejected) as refused:
                libvirt_driver.domains()
            assert refused.value.soft
            assert time.monotonic() - started < 10
    finally:
        libvirtd.unpause()
    wait_until(lambda: _answers(libvirt_driver), 10, "the driver's new connection")


def _answers(driver: LibvirtDriver) -> bool:
    try:
        return driver.domains() == []
    except HostRejected:
        return False


def test_an_accelerator_is_proven_and_remembered(libvirtd: Libvirtd, tmp_path: Path) -> None:
    connection = connections.Connection(libvirtd.uri)
    found = choose(connection, "auto", tmp_path)
    assert found.kind in {"kvm", "tcg"}
    assert found.reason.endswith(".")
    started = time.monotonic()
    assert choose(connection, "auto", tmp_path) == found
    assert time.monotonic() - started < 1
    assert [path.name for path in tmp_path.iterdir()] == ["accelerator.json"]
    assert choose(connection, "tcg", tmp_path).kind == "tcg"
    assert connection.get().listAllDomains() == []
    connection.close()
