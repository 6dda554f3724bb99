"""``createImage`` and ``createBackup`` (Compute API reference, "Servers - run an action")."""

from typing import Annotated

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import Field

from api import start_image
from api.auth import Context
from api.compute.common import empty
from api.compute.wire import Integer, Metadata, Name, Text, Wire
from api.deps import Services
from infra.db import quotas
from infra.domain import boot_rules
from infra.domain.errors import BadRequest
from infra.domain.server import Server

_IMAGE_IDS = 45
"""From 2.45 on the id of the image stands in the body instead of a header."""


class CreateImage(Wire):
    name: Name
    metadata: Metadata = {}


class CreateBackup(CreateImage):
    backup_type: Text
    rotation: Annotated[Integer, Field(ge=0, le=2**31 - 1)]


async def create_image(
    found: Services, context: Context, server: Server, wanted: CreateImage, version: int
) -> Response:
    await _check(found, server, wanted)
    image_id = await start_image.create_image(found, context, server, wanted.name, wanted.metadata)
    return _answer(found, image_id, version)


async def create_backup(
    found: Services, context: Context, server: Server, wanted: CreateBackup, version: int
) -> Response:
    await _check(found, server, wanted)
    if server.image_id is None:
        raise BadRequest("Backup is not supported for volume-backed instances.")
    image_id = await start_image.create_backup(
        found,
        context,
        server,
        wanted.name,
        wanted.metadata,
        backup_type=wanted.backup_type,
        rotation=wanted.rotation,
    )
    return _answer(found, image_id, version)


async def _check(found: Services, server: Server, wanted: CreateImage) -> None:
    """Raises QuotaExceeded for too much metadata."""
    boot_rules.check_metadata(await found.db.read(quotas.get, server.project_id), wanted.metadata)


def _answer(found: Services, image_id: str | None, version: int) -> Response:
    if image_id is None:
        return empty(202)
    if version >= _IMAGE_IDS:
        return JSONResponse({"image_id": image_id}, 202)
    return Response(status_code=202, headers={"Location": f"{found.settings.api_url}/image/v2/images/{image_id}"})
