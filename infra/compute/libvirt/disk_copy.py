"""What a disk holds at one moment, as a file, while the guest goes on: QEMU's backup job, which changes no domain.

An overlay that is committed afterwards would do as well, but a worker that is killed between the two leaves the guest
on another file. A backup whose caller is gone runs to its end, or is stopped by the next call.
"""

import fcntl
import json
import shutil
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import libvirt

from infra.compute.libvirt import domain_xml
from infra.compute.libvirt.errors import means
from infra.domain.errors import HostRejected, NotFound, Unavailable
from infra.image import conversion
from infra.image.conversion import Heartbeat

RESERVED_BYTES = 256 * 1024 * 1024
"""What a copy leaves free on the disk."""
_POLL_SECONDS = 0.2
_STOP_SECONDS = 30.0
_NO_JOB = (libvirt.VIR_ERR_NO_DOMAIN_BACKUP, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN)


def copy(domain: libvirt.virDomain, device: str, target: Path, heartbeat: Heartbeat) -> None:
    """See ``infra.compute.driver.Driver.copy_disk``."""
    stop(domain, target)
    target.unlink(missing_ok=True)
    source, disk_format = _source(domain, device)
    _check_room(source, disk_format, target)
    try:
        if domain.isActive():
            _back_up(domain, device, target, heartbeat)
        else:
            written = Path(source).stat().st_mtime_ns
            # Without locks (-U): what a killed worker left running does not keep the guest from its start.
            conversion.run(["convert", "-U", "-f", disk_format, "-O", "qcow2", source, str(target)], heartbeat)
            if Path(source).stat().st_mtime_ns != written:
                raise Unavailable("The copy of the disk broke off: the guest was started.")
    except BaseException as error:
        stop(domain, target)
        target.unlink(missing_ok=True)
        if isinstance(error, libvirt.libvirtError) and means(error, libvirt.VIR_ERR_OPERATION_INVALID):
            raise Unavailable("The copy of the disk broke off: the guest powered off.") from error
        raise


def stop(domain: libvirt.virDomain, target: Path) -> None:
    """End the backup that writes to ``target``, if there is one.

    Raises:
        HostRejected: soft, it did not end in time.
    """
    end = time.monotonic() + _STOP_SECONDS
    while _running_to(domain) == str(target):
        if time.monotonic() >= end:
            raise HostRejected("The hypervisor did not stop copying the disk in time", soft=True)
        try:
            domain.abortJob()
        except libvirt.libvirtError as error:
            if not means(error, *_NO_JOB):
                raise
        time.sleep(_POLL_SECONDS)


def _source(domain: libvirt.virDomain, device: str) -> tuple[str, str]:
    for element in domain_xml.disks_of(domain.XMLDesc()).values():
        source, driver, target = (element.find(tag) for tag in ("source", "driver", "target"))
        if source is not None and driver is not None and target is not None and target.get("dev") == device:
            return source.get("file", ""), driver.get("type", "")
    raise NotFound(f"The server has no disk {device}")


def _check_room(source: str, disk_format: str, target: Path) -> None:
    # The guest may be writing to it: what is read here is an estimate in any case.
    measured = conversion.run(["measure", "-U", "-f", disk_format, "-O", "qcow2", "--output=json", source])
    needed, free = int(json.loads(measured)["required"]), shutil.disk_usage(target.parent).free
    if needed > max(0, free - RESERVED_BYTES):
        raise HostRejected(f"There is no room for a copy of the disk: it needs {needed} bytes, {free} are free.")


def _back_up(domain: libvirt.virDomain, device: str, target: Path, heartbeat: Heartbeat) -> None:
    # What a worker that was killed has left: a domain has one job at a time.
    while _running_to(domain) is not None:
        heartbeat()
        time.sleep(_POLL_SECONDS)
    # What an earlier job of this domain ended as is not read for this one's end.
    domain.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
    domain.backupBegin(_backup_xml(device, target), None, 0)
    while _running_to(domain) == str(target):
        heartbeat()
        time.sleep(_POLL_SECONDS)
    ended = domain.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
    if ended.get("type") != libvirt.VIR_DOMAIN_JOB_COMPLETED:
        why = ended.get("errmsg", "the guest or its hypervisor ended")
        raise Unavailable(f"The copy of the disk broke off: {why}.")
    _await_closed(target, heartbeat)


def _await_closed(target: Path, heartbeat: Heartbeat) -> None:
    """libvirt says that the job has ended before QEMU has written the file's last tables and let go of it."""
    with target.open("r+b") as file:
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                heartbeat()
                time.sleep(_POLL_SECONDS)


def _backup_xml(device: str, target: Path) -> str:
    backup = ET.Element("domainbackup", mode="push")
    disk = ET.SubElement(ET.SubElement(backup, "disks"), "disk", name=device, backup="yes", type="file")
    ET.SubElement(disk, "target", file=str(target))
    ET.SubElement(disk, "driver", type="qcow2")
    return ET.tostring(backup, encoding="unicode")


def _running_to(domain: libvirt.virDomain) -> str | None:
    """The file that a backup of this domain is being written to."""
    try:
        found = ET.fromstring(domain.backupGetXMLDesc(0))  # noqa: S314
    except libvirt.libvirtError as error:
        if means(error, *_NO_JOB):
            return None
        raise
    target = found.find("disks/disk/target")
    return target.get("file") if target is not None else None
