"""The copy of a volume to an image (``os-volume_upload_image``): what the status ``uploading`` asks for."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from infra.db import images, volumes
from infra.db.engine import Database
from infra.domain.errors import Fenced, NotFound
from infra.image.store import ImageStore
from infra.volume.backend import VolumeBackend

READ_BYTES = 4 * 1024 * 1024
_NO_LIMIT = 2**62


async def upload(
    db: Database,
    backend: VolumeBackend,
    store: ImageStore,
    volume_id: str,
    *,
    scratch: Path,
    image_quota: dict[str, int],
) -> None:
    """Fill the image that the row names and make the volume available again. It can be repeated; cancelling it ends
    the copy.

    Args:
        scratch: folder for the copy on its way.
        image_quota: limit of a project's images, ``bytes``, where it has none of its own.

    Raises:
        BadRequest, TooLarge, NotFound: it can't be done.
        Unavailable: not now.
    """
    work = await db.read(volumes.work, volume_id)
    if work is None or work.status != "uploading" or work.upload_image_id is None:
        return
    image_id, holder = work.upload_image_id, f"{images.VOLUME_HOLDER}{volume_id}"
    image = await db.read(images.get, image_id, None, everything=True)
    if image.status == "queued":
        await db.write(images.begin_upload, image_id, holder, abandoned=False)
    if image.status in ("queued", "saving"):
        disk_format = image.disk_format or "raw"
        await asyncio.to_thread(scratch.mkdir, parents=True, exist_ok=True)
        copy = scratch / f"{image_id}.copy"
        try:
            await _in_thread(backend.export, volume_id, copy, disk_format)
            stored = await store.put(image_id, disk_format, _read(copy), _NO_LIMIT)
            await db.write(images.end_upload, image_id, holder, stored, image_quota)
        except NotFound:
            await store.delete(image_id)
            raise
        finally:
            copy.unlink(missing_ok=True)
    await db.write(volumes.set_available, volume_id)


async def _read(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, READ_BYTES):
            yield chunk


async def _in_thread(fn: Callable[..., None], *args: object) -> None:
    """Run ``fn`` with a heartbeat that stops it when this task is cancelled, and wait until it has stopped."""
    stop = threading.Event()

    def beat() -> None:
        if stop.is_set():
            raise Fenced("The copy was stopped.")

    running = asyncio.ensure_future(asyncio.to_thread(fn, *args, heartbeat=beat))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({running})
        raise
