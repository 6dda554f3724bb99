"""A living guest's disk is copied: what it has written is there, and whoever dies meanwhile, the guest is as it was."""

import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree as ET

import libvirt as api
import pytest

from infra.compute import disks
from infra.compute.driver import Disk, Guest
from infra.compute.libvirt import disk_copy
from infra.compute.libvirt.driver import LibvirtDriver
from infra.compute.metadata import GuestMetadata
from infra.deploy.guest import GuestFiles
from infra.domain.errors import HostRejected, NotFound, Unavailable
from infra.volume.qcow2 import Qcow2Backend
from tests.contract.compute_fixtures import (
    GuestMaker,
    Libvirtd,
    bridge,
    console,
    guest_files,
    libvirt_driver,
    libvirtd,
    wait_until,
)

__all__ = ["bridge", "guest_files", "libvirt_driver", "libvirtd"]

pytestmark = [pytest.mark.libvirt, pytest.mark.root]
BOOT_SECONDS = 180
MARK = b"written by the guest"
SCRIPT = f"#!/bin/sh\nprintf '{MARK.decode()}' | dd of=/dev/vda bs=512 seek=100 conv=fsync\nsync\n".encode()


@pytest.fixture
def domain(libvirtd: Libvirtd, libvirt_driver: LibvirtDriver, living: Guest) -> Iterator[api.virDomain]:
    """Of the living guest, seen by somebody else's connection."""
    connection = api.open(libvirtd.uri)
    yield connection.lookupByUUIDString(living.server_id)
    connection.close()


@pytest.fixture
def living(tmp_path: Path, bridge: str, guest_files: GuestFiles, libvirt_driver: LibvirtDriver) -> Guest:
    """It has written to its disk, on which half a gigabyte was before."""
    make = GuestMaker(tmp_path, bridge, guest_files)
    guest, drive = make(), tmp_path / "config.iso"
    fill(guest.disks[0].path)
    disks.write_config_drive(
        drive, GuestMetadata(server_id=guest.server_id, name="n", hostname="n", project_id="p", user_data=SCRIPT)
    )
    config = Disk(path=drive, format="raw", device="vdz", serial="config-2", read_only=True)
    guest = guest.model_copy(update={"disks": (*guest.disks, config)})
    libvirt_driver.define(guest)
    libvirt_driver.start(guest.server_id)
    wait_until(lambda: "user data ended with 0" in console(guest), BOOT_SECONDS, "the end of the user data")
    return guest


def fill(path: Path) -> None:
    """Half a gigabyte, so that a copy takes a while."""
    subprocess.run(["qemu-img", "resize", "-q", path, "1G"], check=True)
    subprocess.run(["qemu-io", "-c", "write -P 7 1M 512M", path], check=True, capture_output=True)


def described(domain: api.virDomain) -> tuple[list[str], str]:
    """The disks of the running guest, with the files below them, and the definition."""
    disks_now = ET.fromstring(domain.XMLDesc()).iterfind("devices/disk")
    return [ET.tostring(disk, encoding="unicode") for disk in disks_now], domain.XMLDesc(api.VIR_DOMAIN_XML_INACTIVE)


def holds_the_mark(path: Path) -> bool:
    command = ["qemu-img", "dd", "-f", "qcow2", "-O", "raw", "bs=512", "skip=100", "count=101"]
    raw = path.with_name("raw")
    subprocess.run([*command, f"if={path}", f"of={raw}"], check=True)
    return MARK in raw.read_bytes()


def test_a_copy_has_what_the_guest_wrote(
    libvirt_driver: LibvirtDriver, living: Guest, domain: api.virDomain, libvirtd: Libvirtd, tmp_path: Path
) -> None:
    before, target = described(domain), tmp_path / "copy"
    volumes, snapshot = Qcow2Backend(tmp_path / "volumes"), str(uuid.uuid4())
    incoming = Path(f"{volumes.incoming(snapshot)}.1")
    libvirt_driver.copy_disk(living.server_id, "vda", incoming, lambda: None)
    volumes.take_in(snapshot, incoming)
    assert holds_the_mark(volumes.connection(snapshot).path)
    # Its worker is killed in the middle: QEMU goes on, and the next try takes over, or the undo ends it.
    for _ in range(2):
        left = target.with_name("left")
        left.unlink(missing_ok=True)
        domain.backupBegin(disk_copy._backup_xml("vda", left), None, 0)
        libvirt_driver.stop_copy(living.server_id, left)
        assert domain.jobStats()["type"] == api.VIR_DOMAIN_JOB_NONE
    left.unlink(missing_ok=True)
    domain.backupBegin(disk_copy._backup_xml("vda", left), None, 0)
    libvirt_driver.copy_disk(living.server_id, "vda", left, lambda: None)
    assert holds_the_mark(left)
    # libvirtd is killed in the middle.
    left.unlink()
    domain.backupBegin(disk_copy._backup_xml("vda", left), None, 0)
    libvirtd.kill()
    libvirtd.start()
    libvirt_driver.stop_copy(living.server_id, left)
    libvirt_driver.copy_disk(living.server_id, "vda", target, lambda: None)
    assert holds_the_mark(target)
    again = api.open(libvirtd.uri).lookupByUUIDString(living.server_id)
    assert described(again) == before
    # A volume leaves while it is copied: the guest keeps it until it is.
    volume = GuestMaker(tmp_path).disk("vdb")
    fill(volume.path)
    libvirt_driver.attach_disk(living.server_id, volume)
    with ThreadPoolExecutor() as threads:
        copying = threads.submit(libvirt_driver.copy_disk, living.server_id, "vdb", target, lambda: None)
        wait_until(lambda: disk_copy._running_to(again) == str(target), 30, "the copy")
        let_go(libvirt_driver, living, volume)
        copying.result()
    assert described(again)[1] == before[1]


def let_go(driver: LibvirtDriver, guest: Guest, disk: Disk) -> None:
    """As a step does, which the engine runs again."""
    end = time.monotonic() + 120
    while True:
        try:
            driver.detach_disk(guest.server_id, disk.serial, timeout_seconds=10)
        except HostRejected:
            assert time.monotonic() < end
            continue
        return


def test_copies_of_one_guest_wait_for_each_other(libvirt_driver: LibvirtDriver, tmp_path: Path) -> None:
    make = GuestMaker(tmp_path)
    guest = make()
    guest = guest.model_copy(update={"disks": (*guest.disks, make.disk("vdb"))})
    for disk in guest.disks:
        fill(disk.path)
    libvirt_driver.define(guest)
    libvirt_driver.start(guest.server_id)
    targets = {disk.device: tmp_path / f"copy-{disk.device}" for disk in guest.disks}
    with ThreadPoolExecutor() as threads:
        beats: list[None] = []
        first = threads.submit(
            libvirt_driver.copy_disk, guest.server_id, "vda", targets["vda"], lambda: beats.append(None)
        )
        wait_until(lambda: beats, 30, "the first copy")
        libvirt_driver.copy_disk(guest.server_id, "vdb", targets["vdb"], lambda: None)
        first.result()
    for target in targets.values():
        assert (
            json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", target]))["virtual-size"] == 2**30
        )


def test_a_guest_that_starts_meanwhile_ends_the_copy(libvirt_driver: LibvirtDriver, tmp_path: Path) -> None:
    """What it writes from then on would be of another moment."""
    guest, target = GuestMaker(tmp_path)(), tmp_path / "copy"
    fill(guest.disks[0].path)
    libvirt_driver.define(guest)

    def write() -> None:
        subprocess.run(["qemu-io", "-c", "write -P 8 900M 1M", guest.disks[0].path], check=True, capture_output=True)

    with pytest.raises(Unavailable):
        libvirt_driver.copy_disk(guest.server_id, "vda", target, write)
    assert not target.exists()


@pytest.mark.parametrize("ends_with", [NotFound, Unavailable])
def test_a_guest_that_ends_meanwhile_ends_the_copy(
    libvirt_driver: LibvirtDriver, tmp_path: Path, ends_with: type[Exception]
) -> None:
    """Deleted, or powered off: that may be tried again."""
    guest, target = GuestMaker(tmp_path)(), tmp_path / "copy"
    fill(guest.disks[0].path)
    libvirt_driver.define(guest)
    libvirt_driver.start(guest.server_id)

    def end() -> None:
        if ends_with is NotFound:
            libvirt_driver.destroy(guest.server_id)
        else:
            libvirt_driver.stop(guest.server_id, grace_seconds=0)

    with pytest.raises(ends_with):
        libvirt_driver.copy_disk(guest.server_id, "vda", target, end)
    assert not target.exists()
