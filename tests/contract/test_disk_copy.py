"""A living guest's disk is copied: what it has written is there, and whoever dies meanwhile, the guest is as it was."""

import subprocess
from collections.abc import Iterator
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
from infra.domain.errors import NotFound, Unavailable
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
    libvirt_driver.copy_disk(living.server_id, "vda", target, lambda: None)
    assert holds_the_mark(target)
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
