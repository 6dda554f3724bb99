"""Image data as files: ``data/<id>`` is whole and checked, ``upload/<id>`` is on its way.

An upload holds a lock on its file, so that one that died (its process was killed) can be told from one that goes on.
"""

import asyncio
import fcntl
import hashlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from infra.domain.errors import Conflict, NotFound, TooLarge, Unavailable
from infra.image.inspector import inspect
from infra.image.store import StoredData

WRITE_BYTES = 4 * 1024 * 1024
READ_BYTES = 1024 * 1024
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class FileStore:
    """An ``ImageStore`` on a directory that all API processes share.

    Args:
        max_virtual_bytes: largest disk that data may describe.
        format_match: see ``ImageSettings.format_match``.
    """

    def __init__(self, directory: Path, *, max_virtual_bytes: int = 2 * 1024**4, format_match: bool = True) -> None:
        self._data = directory / "data"
        self._uploads = directory / "upload"
        self._max_virtual_bytes = max_virtual_bytes
        self._format_match = format_match
        for folder in (directory, self._data, self._uploads):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)

    async def put(self, image_id: str, disk_format: str, chunks: AsyncIterator[bytes], max_bytes: int) -> StoredData:
        """Raises Conflict if another upload of this image goes on, else as ``ImageStore.put``."""
        path = self._uploads / _checked(image_id)
        file = await asyncio.to_thread(_lock_new, path)
        published = False
        try:
            stored = await self._receive(file, chunks, max_bytes)
            inspection = await asyncio.to_thread(
                inspect, path, disk_format, max_virtual_bytes=self._max_virtual_bytes, match=self._format_match
            )
            _publish(path, self._data / image_id)
            published = True
            return stored.model_copy(update={"virtual_size": inspection.virtual_size})
        finally:
            # The name goes before the lock does, so that it is never another upload's.
            if not published:
                path.unlink(missing_ok=True)
            file.close()

    async def _receive(self, file: BinaryIO, chunks: AsyncIterator[bytes], max_bytes: int) -> StoredData:
        digests = (hashlib.md5(usedforsecurity=False), hashlib.sha512())
        size = 0

        def write(block: bytes) -> None:
            try:
                # Zeros become a hole: the copy of a volume is mostly zeros.
                if block == bytes(len(block)):
                    file.seek(len(block), os.SEEK_CUR)
                    file.truncate()
                else:
                    file.write(block)
            except OSError as e:
                raise Unavailable(f"The image could not be stored: {os.strerror(e.errno or 0)}.") from e
            for digest in digests:
                digest.update(block)

        block = bytearray()
        async for chunk in chunks:
            size += len(chunk)
            if size > max_bytes:
                raise TooLarge(f"The image is larger than the {max_bytes} bytes that are left for it.")
            block += chunk
            if len(block) >= WRITE_BYTES:
                await asyncio.to_thread(write, bytes(block))
                block.clear()
        await asyncio.to_thread(write, bytes(block))
        await asyncio.to_thread(_flush, file)
        return StoredData(size=size, checksum=digests[0].hexdigest(), sha512=digests[1].hexdigest(), virtual_size=None)

    def read(self, image_id: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        path = self._data / _checked(image_id)
        if not path.exists():
            raise NotFound(f"There is no data of image {image_id}.")
        return _chunks(path, offset, length)

    async def delete(self, image_id: str) -> None:
        await asyncio.to_thread((self._data / _checked(image_id)).unlink, missing_ok=True)

    async def path(self, image_id: str) -> str | None:
        path = self.data_path(image_id)
        return None if path is None else str(path)

    def data_path(self, image_id: str) -> Path | None:
        """The file with an image's data, for those on the same machine."""
        path = self._data / _checked(image_id)
        return path if path.exists() else None

    async def uploading(self, image_id: str) -> bool:
        return await asyncio.to_thread(_is_locked, self._uploads / _checked(image_id))

    async def images(self) -> list[str]:
        return sorted(path.name for path in self._data.iterdir())


def _checked(image_id: str) -> str:
    """The id, which is about to become a file name."""
    if not _ID.fullmatch(image_id):
        raise NotFound(f"No image found with ID {image_id}")
    return image_id


def _lock_new(path: Path) -> BinaryIO:
    """An empty file that is locked; what a dead upload left under its name is taken over."""
    while True:
        file = path.open("a+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise Conflict("Another upload of this image's data is going on.") from None
        # The name may have gone, with its earlier owner, between the opening and the lock.
        if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            file.truncate(0)
            return file
        file.close()


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _publish(path: Path, target: Path) -> None:
    path.chmod(0o440)
    path.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


async def _chunks(path: Path, offset: int, length: int | None) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        file.seek(offset)
        left = length
        while left is None or left > 0:
            chunk = await asyncio.to_thread(file.read, READ_BYTES if left is None else min(READ_BYTES, left))
            if not chunk:
                return
            if left is not None:
                left -= len(chunk)
            yield chunk
    finally:
        file.close()
