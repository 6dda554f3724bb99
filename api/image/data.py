"""The data of images: upload and download (Image API v2, "Image data").

An upload ends as an active image, or as a queued one of which nothing is kept.
"""

import asyncio
import hashlib
import re
import sys
from collections.abc import AsyncIterator
from contextlib import suppress

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from sqlmodel import Session
from starlette.requests import ClientDisconnect

from api.auth import Context
from api.deps import Services
from infra.db import images, storage_quotas
from infra.db.types import now
from infra.domain.errors import BadRequest, Conflict, Forbidden, KilonovaError, TooLarge, UnsupportedMediaType
from infra.domain.image import Image
from infra.domain.image_devices import has_devices
from infra.image.store import StoredData

OCTETS = "application/octet-stream"
NOT_DISKS = ("ova", "docker", "compressed")
DRAIN_BYTES = 256 * 1024 * 1024
DRAIN_SECONDS = 30.0
ABANDONED_SECONDS = 60.0
EMPTY = StoredData(
    size=0,
    checksum=hashlib.md5(usedforsecurity=False).hexdigest(),
    sha512=hashlib.sha512().hexdigest(),
    virtual_size=None,
)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


async def upload(services: Services, context: Context, image: Image, request: Request) -> None:
    """Raises what the database and the store refuse; the image is queued again then."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != OCTETS:
        raise UnsupportedMediaType(f"The content type must be {OCTETS}.")
    if image.disk_format is None or image.container_format is None:
        raise BadRequest("The properties disk_format and container_format must be set prior to uploading data.")
    if image.container_format in NOT_DISKS:
        raise BadRequest(f"Data in a container of the format {image.container_format} is not supported.")
    length = request.headers.get("content-length")
    if length == "0" and has_devices(image):
        # It describes volumes, and has no data of its own.
        await services.db.write(_activate, image.id, context.request_id, quota_of(services))
        return
    stream = request.stream()
    try:
        await _store(services, context, image, image.disk_format, stream, length)
    except ClientDisconnect:
        raise BadRequest("The connection was closed before all data had come.") from None
    except KilonovaError:
        # Many clients read no answer before they have sent all.
        await _drain(stream)
        raise


def _activate(session: Session, image_id: str, upload: str, quota: dict[str, int]) -> None:
    images.begin_upload(session, image_id, upload, abandoned=False)
    images.end_upload(session, image_id, upload, EMPTY, quota)


async def _store(
    services: Services,
    context: Context,
    image: Image,
    disk_format: str,
    stream: AsyncIterator[bytes],
    announced: str | None,
) -> None:
    quota = quota_of(services)
    room = min(services.settings.image.max_bytes, await services.db.read(_room, image.owner, quota))
    if announced is not None and announced.isdecimal() and int(announced) > room:
        raise TooLarge(f"The image is larger than the {max(room, 0)} bytes that are left for it.")
    held_for = (now() - image.updated_at).total_seconds()
    abandoned = held_for > ABANDONED_SECONDS and not await services.images.uploading(image.id)
    await services.db.write(images.begin_upload, image.id, context.request_id, abandoned=abandoned)
    try:
        stored = await services.images.put(image.id, disk_format, stream, max(room, 0))
        await _finish(services, context, image.id, stored)
    except BaseException:
        await services.db.write(images.cancel_upload, image.id, context.request_id)
        raise


async def _finish(services: Services, context: Context, image_id: str, stored: StoredData) -> None:
    try:
        await services.db.write(images.end_upload, image_id, context.request_id, stored, quota_of(services))
    except Conflict:
        # The data that is there now belongs to the upload that took over.
        raise
    except BaseException:
        await services.images.delete(image_id)
        raise


def quota_of(services: Services) -> dict[str, int]:
    return {"bytes": services.settings.image.project_quota_bytes}


def _room(session: Session, owner: str | None, quota: dict[str, int]) -> int:
    """Bytes that the project may still store."""
    limit = storage_quotas.limits(session, "image", owner or "", quota)["bytes"]
    return limit - images.used_bytes(session, owner) if limit >= 0 else sys.maxsize


async def _drain(stream: AsyncIterator[bytes]) -> None:
    left = DRAIN_BYTES
    with suppress(ClientDisconnect, TimeoutError, RuntimeError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for chunk in stream:
                left -= len(chunk)
                if left < 0:
                    return


def download(services: Services, context: Context, image: Image, range_header: str | None) -> Response:
    """The data, whole or the part that a ``Range`` names (RFC 9110, section 14).

    Raises:
        Forbidden: the image is deactivated and the caller is no administrator.
        NotFound: the image says it has data and there is none.
    """
    if image.status == "deactivated" and not context.is_admin:
        raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
    if image.status not in ("active", "deactivated") or not image.size:
        return Response(status_code=204)
    part = _range(range_header, image.size)
    headers = {"Accept-Ranges": "bytes"}
    if part is None:
        if image.checksum:
            headers["Content-MD5"] = image.checksum
        headers["Content-Length"] = str(image.size)
        return StreamingResponse(services.images.read(image.id), 200, headers, OCTETS)
    first, last = part
    if first > last or first >= image.size:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{image.size}"})
    headers["Content-Length"] = str(last - first + 1)
    headers["Content-Range"] = f"bytes {first}-{last}/{image.size}"
    return StreamingResponse(services.images.read(image.id, first, last - first + 1), 206, headers, OCTETS)


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte; None for the whole, also where the header is of a form that may be ignored."""
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size - 1 if int(last) else -1
    return int(first), min(int(last), size - 1) if last else size - 1


async def recover(services: Services) -> None:
    """Give back images that died uploads hold, and remove data that no image has. For the start of a process."""
    for image_id, holder in (await services.db.read(images.uploads)).items():
        if not await services.images.uploading(image_id):
            await services.db.write(images.cancel_upload, image_id, holder)
    kept = await services.images.images()
    for image_id in await services.db.read(images.unknown, kept):
        await services.images.delete(image_id)
