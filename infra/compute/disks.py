"""A server's disk files on its host: overlays over cached images, their copies, empty disks, config drives.

Each appears whole under its name or not at all. Callers give the paths, which hold the server's id and attempt.
"""

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pycdlib

from infra.compute import qcow2
from infra.compute.metadata import GuestMetadata, files
from infra.domain.errors import BuildAborted, HostRejected

# cloud-init takes the newest of these that it knows.
_VERSIONS = ("2015-10-15", "2018-08-27", "latest")
_LABEL = "config-2"
_POLL_SECONDS = 0.2
Heartbeat = Callable[[], None]


def create_overlay(path: Path, base: Path, base_format: str, size_bytes: int) -> None:
    """Make ``path`` a qcow2 disk of ``size_bytes`` whose content is ``base``'s until written to; 0 is the base's size.

    Does nothing when the file is there: a disk that a guest has written to is never made again.

    Raises:
        BuildAborted: the base is not of its format, refers to another file, or is larger than the disk.
        HostRejected: no room, or the file can't be written.
    """
    base_bytes = qcow2.size_of(base, base_format)
    if size_bytes and base_bytes > size_bytes:
        needed = -(-base_bytes // 1024**3)
        raise BuildAborted(f"The image needs a disk of {needed} GiB and the flavor's is smaller", code=400)
    # A qcow2 overlay ends on a sector; what a raw base lacks of it reads as zeros.
    size = -(-(size_bytes or base_bytes) // 512) * 512
    _create(path, lambda part: part.write_bytes(qcow2.empty(size, base.absolute(), base_format)))


def create_copy(path: Path, source: Path, size_bytes: int, beat: Heartbeat) -> None:
    """Make ``path`` a qcow2 disk with what the disk ``source`` holds, grown to ``size_bytes`` where that is more.

    Does nothing when the file is there. Nobody may write to ``source`` meanwhile.

    Args:
        beat: called again and again; what it raises ends the copy.

    Raises:
        HostRejected: no room, or the file can't be written.
    """

    def copy(part: Path) -> None:
        _run(beat, "cp", "--sparse=always", "--reflink=auto", str(source), str(part))
        if qcow2.virtual_size(part) < size_bytes:
            _run(beat, "qemu-img", "resize", "-q", "-f", "qcow2", str(part), str(size_bytes))

    _create(path, copy)


def _run(beat: Heartbeat, *command: str) -> None:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
        try:
            while True:
                try:
                    _, errors = run.communicate(timeout=_POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    beat()
        except BaseException:
            run.kill()
            raise
    if run.returncode != 0:
        raise OSError(run.returncode, f"{command[0]} failed: {errors.decode(errors='replace').strip()[-200:]}")


def create_blank(path: Path, size_bytes: int) -> None:
    """Make ``path`` an empty qcow2 disk; does nothing when the file is there.

    Raises:
        HostRejected: no room, or the file can't be written.
    """
    _create(path, lambda part: part.write_bytes(qcow2.empty(size_bytes)))


def write_config_drive(path: Path, metadata: GuestMetadata) -> None:
    """Make ``path`` an ISO 9660 image labelled ``config-2`` with the server's metadata; replaces an older one.

    Layout: https://docs.openstack.org/nova/latest/user/config-drive.html

    Raises:
        HostRejected: no room, or the file can't be written.
    """
    _create(path, lambda part: _write_iso(part, files(metadata)), replace=True)


def write_private(path: Path, data: bytes) -> None:
    """User data is the user's secret: the file is for this worker alone."""
    draft = path.with_name(path.name + ".part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    draft.replace(path)


def remove(path: Path) -> None:
    """Remove a disk file and what an interrupted write left of it; "not there" is success."""
    path.unlink(missing_ok=True)
    _part(path).unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _create(path: Path, write: Callable[[Path], object], *, replace: bool = False) -> None:
    if path.exists() and not replace:
        return
    part = _part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        # A disk is its owner's secret; libvirt lets QEMU in where that is another user.
        part.touch(mode=0o600)
        write(part)
        part.replace(path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise HostRejected(f"The host can't write the disk: {error.strerror}") from error
        raise


def _write_iso(part: Path, content: dict[str, bytes]) -> None:
    """ISO level 3 with Joliet and Rock Ridge names; every version's folder holds the same files."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=_LABEL)
    try:
        iso.add_directory("/OPENSTAC", rr_name="openstack", joliet_path="/openstack")
        for number, version in enumerate(_VERSIONS):
            folder = f"/OPENSTAC/V{number}"
            iso.add_directory(folder, rr_name=version, joliet_path=f"/openstack/{version}")
            for index, (name, data) in enumerate(content.items()):
                joliet = f"/openstack/{version}/{name}"
                iso.add_fp(BytesIO(data), len(data), f"{folder}/F{index}.;1", rr_name=name, joliet_path=joliet)
        with part.open("wb") as file:
            iso.write_fp(file)
    finally:
        iso.close()
