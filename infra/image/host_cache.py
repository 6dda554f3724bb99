"""A compute host's copies of images: one download an image, however many servers ask for it at once.

Below the cache's directory:

- ``data/<image>``: whole, checked, read-only; its format is the image's;
- ``partial/<image>``: on its way, and resumed from where it ended;
- ``refs/<image>/<server>``: who uses it; a set, so that asking and letting go can be repeated;
- ``locks/<image>``: held by whoever works on any of these.

What other hosts and the image service do to their copies doesn't matter here. Calls block.
"""

import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict

from infra.domain.errors import BuildAborted, HostRejected, KilonovaError, Unavailable
from infra.image.inspector import inspect

Download = Callable[[int], Iterator[bytes]]
"""Yields the image's data from the given offset on."""
Heartbeat = Callable[[], None]

POLL_SECONDS = 0.1
READ_BYTES = 4 * 1024 * 1024
RESERVED_BYTES = 256 * 1024 * 1024
"""What a download leaves free on the disk."""
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,127}")


class CachedImage(BaseModel):
    model_config = ConfigDict(frozen=True)

    image_id: str
    path: Path
    format: str
    """``qcow2`` or ``raw``, as QEMU names it."""
    size: int
    virtual_size: int | None


class HostCache:
    """One process a host uses a cache directory at a time; any number of its threads may.

    Args:
        max_virtual_bytes: largest disk that an image may describe.
    """

    def __init__(self, directory: Path, *, max_virtual_bytes: int = 2 * 1024**4) -> None:
        self._data, self._partial = directory / "data", directory / "partial"
        self._refs, self._locks = directory / "refs", directory / "locks"
        self._max_virtual_bytes = max_virtual_bytes
        for folder in (directory, self._data, self._partial, self._refs, self._locks):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)

    def fetch(
        self, image: Mapping[str, Any], server_id: str, download: Download, heartbeat: Heartbeat | None = None
    ) -> CachedImage:
        """Have the image here, referenced by the server.

        Args:
            image: as the Image API shows it: ``id``, ``disk_format``, ``size``, ``os_hash_algo``, ``os_hash_value``.
            heartbeat: called for every piece and while waiting for another's download; what it raises ends the call.

        Raises:
            BuildAborted: the image can't be used on any host.
            HostRejected: there is no room for it here.
            Unavailable: what came is not what the image service holds; it may be the next time.
        """
        image_id, beat = _checked(image["id"]), heartbeat or _nothing
        if image.get("os_hash_algo") != "sha512" or not image.get("os_hash_value") or not image.get("size"):
            raise BuildAborted(f"Image {image_id} has no data that could be checked.", code=400)
        path = self._data / image_id
        with self._locked(image_id, beat, shared=True):
            if path.exists():
                self._reference(image_id, server_id).touch()
                os.utime(path)
                return self._described(image, path)
        with self._locked(image_id, beat):
            self._reference(image_id, server_id).touch()
            if not path.exists():
                try:
                    self._download(image, image_id, download, beat)
                except BaseException:
                    self._reference(image_id, server_id).unlink(missing_ok=True)
                    raise
            os.utime(path)
            return self._described(image, path)

    def find(self, image_id: str, disk_format: str, server_id: str) -> CachedImage | None:
        """The image as it is here, referenced by the server; None where it is not here.

        Args:
            disk_format: as the Image API shows it.
        """
        path = self._data / _checked(image_id)
        with self._locked(image_id, _nothing, shared=True):
            if not path.exists():
                return None
            self._reference(image_id, server_id).touch()
            return self._described({"disk_format": disk_format}, path)

    def release(self, image_id: str, server_id: str) -> None:
        """Drop the server's reference; that there is none is success. The data stays until it is evicted."""
        reference = self._reference(image_id, server_id)
        with self._locked(_checked(image_id), _nothing, shared=True):
            reference.unlink(missing_ok=True)
            if (self._data / image_id).exists():
                os.utime(self._data / image_id)

    def references(self, image_id: str) -> set[str]:
        """Ids of the servers that use an image."""
        folder = self._refs / _checked(image_id)
        return {path.name for path in folder.iterdir()} if folder.exists() else set()

    def images(self) -> list[str]:
        return sorted(path.name for path in self._data.iterdir())

    def evict(self, older_than_seconds: float) -> list[str]:
        """Remove what no server uses and nobody asked for in this time; returns the ids of the images."""
        removed = []
        for folder in (self._data, self._partial):
            for path in list(folder.iterdir()):
                with self._locked(path.name, _nothing):
                    unused = path.exists() and not self.references(path.name)
                    if unused and time.time() - path.stat().st_mtime >= older_than_seconds:
                        path.unlink()
                        removed.append(path.name)
        return sorted(set(removed))

    def discard(self, image_id: str) -> None:
        """Remove an image that nobody will ask for again; one that a server uses stays."""
        for folder in (self._data, self._partial):
            with self._locked(_checked(image_id), _nothing):
                if not self.references(image_id):
                    (folder / image_id).unlink(missing_ok=True)

    def users(self) -> set[str]:
        """Servers that use any image."""
        return {reference.name for folder in self._refs.iterdir() for reference in folder.iterdir()}

    def keep(self, image_id: str, server_id: str) -> bool:
        """Note that a server uses an image that is here; False: that was known, or the image is not here."""
        reference = self._reference(image_id, server_id)
        with self._locked(_checked(image_id), _nothing, shared=True):
            if reference.exists() or not (self._data / image_id).exists():
                return False
            reference.touch()
            return True

    def _reference(self, image_id: str, server_id: str) -> Path:
        folder = self._refs / _checked(image_id)
        folder.mkdir(exist_ok=True)
        return folder / _checked(server_id)

    def _download(self, image: Mapping[str, Any], image_id: str, download: Download, beat: Heartbeat) -> None:
        partial, size = self._partial / image_id, int(image["size"])
        with partial.open("a+b") as file:
            if file.tell() > size:
                file.truncate(0)
            digest = _digest_of(file, beat)
            resumed = file.tell() > 0
            _check_room(partial, size - file.tell())
            if file.tell() < size:
                _receive(file, digest, download(file.tell()), size, beat)
            file.flush()
            os.fsync(file.fileno())
            whole = file.tell() == size
        if not whole:
            raise Unavailable(f"The download of image {image_id} ended early.")
        if digest.hexdigest() != image["os_hash_value"]:
            partial.unlink()
            what = f"The data of image {image_id} does not have the checksum that the image service names."
            # What an earlier try left may be what is wrong; data that was all new will not be better next time.
            raise Unavailable(what) if resumed else HostRejected(what)
        try:
            inspect(partial, str(image["disk_format"]), max_virtual_bytes=self._max_virtual_bytes)
        except Unavailable:
            raise
        except KilonovaError as error:
            partial.unlink()
            raise BuildAborted(f"Image {image_id} can't be used: {error.message}", code=400) from error
        partial.chmod(0o444)
        partial.replace(self._data / image_id)

    def _described(self, image: Mapping[str, Any], path: Path) -> CachedImage:
        return CachedImage(
            image_id=path.name,
            path=path,
            format="qcow2" if image["disk_format"] == "qcow2" else "raw",
            size=path.stat().st_size,
            virtual_size=image.get("virtual_size") or None,
        )

    @contextmanager
    def _locked(self, image_id: str, beat: Heartbeat, *, shared: bool = False) -> Iterator[None]:
        """``shared``: beside others that only come and go; alone for what makes or removes the data."""
        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        with (self._locks / image_id).open("wb") as file:
            while True:
                try:
                    fcntl.flock(file, how | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    beat()
                    time.sleep(POLL_SECONDS)
            yield


def _receive(file: BinaryIO, digest: Any, chunks: Iterator[bytes], size: int, beat: Heartbeat) -> None:
    for chunk in chunks:
        beat()
        if file.tell() + len(chunk) > size:
            file.truncate(0)
            raise Unavailable("More data came than the image has.")
        try:
            file.write(chunk)
        except OSError as error:
            raise HostRejected(f"The image can't be stored on this host: {os.strerror(error.errno or 0)}.") from error
        digest.update(chunk)


def _digest_of(file: BinaryIO, beat: Heartbeat) -> Any:
    digest = hashlib.sha512()
    file.seek(0)
    while block := file.read(READ_BYTES):
        beat()
        digest.update(block)
    return digest


def _check_room(path: Path, needed: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if needed > max(0, free - RESERVED_BYTES):
        raise HostRejected(f"There is no room for the image on this host: it needs {needed} bytes, {free} are free.")


def _checked(name: str) -> str:
    """An id that is about to become a file name."""
    if not _NAME.fullmatch(name):
        raise BuildAborted("The id of an image or a server has characters that no id has.", code=400)
    return name


def _nothing() -> None:
    return
