"""Volumes as QCOW2 files: ``<directory>/<id>.qcow2``, whole as soon as the name is there.

Each volume has a lock, so that calls that meet wait for each other. A deleted volume leaves an empty file in
``closed/``: a creation that arrives after its undo is refused (``Fenced``), instead of leaving data that nobody knows.
What hosts copy of a guest's disk they write to ``incoming/``.
"""

import fcntl
import json
import math
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.domain.errors import BadRequest, Fenced, NotFound, Unavailable
from infra.image import conversion
from infra.image.conversion import Heartbeat
from infra.volume.backend import Connection

GIB = 1024**3
FORMAT = "qcow2"
SOURCE_FORMATS = {"qcow2": "qcow2", "raw": "raw", "ami": "raw", "iso": "raw"}
"""Formats of the Image Service that a volume can be made from, and QEMU's names of them."""
LOCK_SECONDS = 60.0
INCOMING_SECONDS = 24 * 3600.0
"""For so long nobody writes to a file and means to go on."""
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Qcow2Backend:
    """A ``VolumeBackend`` on a directory. Sources must have been inspected: their format is believed here."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._locks = directory / "locks"
        self._closed = directory / "closed"
        self._incoming = directory / "incoming"
        for folder in (directory, self._locks, self._closed, self._incoming):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)

    def create(
        self,
        volume_id: str,
        size_gb: int,
        source: Path | None = None,
        source_format: str | None = None,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        path = self._path(volume_id)
        with self._locked(volume_id, heartbeat):
            if (self._closed / volume_id).exists():
                raise Fenced(f"The volume {volume_id} was deleted before its data was made.")
            if path.exists():
                return
            partial = path.with_suffix(".partial")
            try:
                if source is None:
                    conversion.run(["create", "-q", "-f", FORMAT, str(partial), f"{size_gb}G"], heartbeat)
                else:
                    _copy(source, source_format, partial, size_gb, heartbeat)
                _publish(partial, path)
            finally:
                partial.unlink(missing_ok=True)

    def incoming(self, volume_id: str) -> Path:
        return self._incoming / self._path(volume_id).stem

    def take_in(self, volume_id: str, path: Path) -> None:
        whole = self._path(volume_id)
        with self._locked(volume_id):
            if (self._closed / volume_id).exists():
                raise Fenced(f"The volume {volume_id} was deleted before its data was made.")
            if whole.exists():
                return
            if not path.exists():
                raise Unavailable(f"There is no data for volume {volume_id} yet.")
            _publish(path, whole)

    def delete(self, volume_id: str) -> None:
        path = self._path(volume_id)
        (self._closed / volume_id).touch()
        _sync(self._closed)
        with self._locked(volume_id):
            path.unlink(missing_ok=True)
            path.with_suffix(".partial").unlink(missing_ok=True)

    def extend(self, volume_id: str, size_gb: int) -> None:
        with self._locked(volume_id):
            path = self._existing(volume_id)
            if _virtual_size(path, FORMAT) < size_gb * GIB:
                conversion.run(["resize", "-q", "-f", FORMAT, str(path), f"{size_gb}G"])

    def export(self, volume_id: str, target: Path, disk_format: str, heartbeat: Heartbeat | None = None) -> None:
        if disk_format not in ("raw", "qcow2"):
            raise BadRequest(f"A volume can't be copied to an image of the format {disk_format}.")
        with self._locked(volume_id, heartbeat):
            source = self._existing(volume_id)
            conversion.run(["convert", "-f", FORMAT, "-O", disk_format, str(source), str(target)], heartbeat)

    def connection(self, volume_id: str) -> Connection:
        return Connection(volume_id=volume_id, path=self._path(volume_id), format=FORMAT)

    def volumes(self) -> list[str]:
        return sorted(path.stem for path in self._directory.glob("*.qcow2"))

    def forget(self, older_than_seconds: float) -> None:
        before = time.time() - older_than_seconds
        for fence in [fence for fence in self._closed.iterdir() if _touched(fence) <= before]:
            with self._locked(fence.name):
                # Deleted again meanwhile, it counts from then.
                if _touched(fence) <= before:
                    fence.unlink()
                    (self._locks / fence.name).unlink(missing_ok=True)
        # Of hosts that died while they wrote it, or before they were told to remove it.
        for file in [file for file in self._incoming.iterdir() if _touched(file) <= time.time() - INCOMING_SECONDS]:
            file.unlink(missing_ok=True)

    def _path(self, volume_id: str) -> Path:
        if not _ID.fullmatch(volume_id):
            raise NotFound("The id of a volume must be a UUID.")
        return self._directory / f"{volume_id}.qcow2"

    def _existing(self, volume_id: str) -> Path:
        path = self._path(volume_id)
        if not path.exists():
            raise NotFound(f"There is no data of volume {volume_id}.")
        return path

    @contextmanager
    def _locked(self, volume_id: str, heartbeat: Heartbeat | None = None) -> Iterator[None]:
        deadline = time.monotonic() + LOCK_SECONDS
        with (self._locks / volume_id).open("wb") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise Unavailable(f"The volume {volume_id} is being worked on.") from None
                if heartbeat is not None:
                    heartbeat()
                time.sleep(conversion.POLL_SECONDS)
            yield


def _touched(path: Path) -> float:
    """When, in seconds since the epoch; of what is not there any more, never before anything."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _copy(source: Path, source_format: str | None, target: Path, size_gb: int, heartbeat: Heartbeat | None) -> None:
    qemu_format = SOURCE_FORMATS.get(source_format or "")
    if qemu_format is None:
        raise BadRequest(f"A volume can't be made from data of the format {source_format}.")
    if _virtual_size(source, qemu_format) > size_gb * GIB:
        raise BadRequest(f"The source is larger than the volume of {size_gb} GiB.")
    conversion.run(["convert", "-f", qemu_format, "-O", FORMAT, str(source), str(target)], heartbeat)
    conversion.run(["resize", "-q", "-f", FORMAT, str(target), f"{size_gb}G"], heartbeat)


def _virtual_size(path: Path, qemu_format: str) -> int:
    return int(
        json.loads(conversion.run(["info", "-U", "-f", qemu_format, "--output=json", str(path)]))["virtual-size"]
    )


def _publish(partial: Path, path: Path) -> None:
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
