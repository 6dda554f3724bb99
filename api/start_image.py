"""How a server's disk is made an image: by a run of its own, like every verb (``start.py``)."""

import uuid
from typing import Any

from api import start
from api.auth import Context
from api.deps import Services
from infra.db import images, volumes
from infra.domain.errors import NotFound
from infra.domain.image import Image
from infra.domain.server import Server, Verb
from infra.domain.server_image import (
    BACKUP,
    SNAPSHOT,
    image_fields,
    shelved_image_id,
    shelved_name,
    volume_image_fields,
)
from workflows.create_image import CreateImage, CreateImageParams, Rotation
from workflows.shelve_server import ShelveParams, ShelveServer


async def create_image(
    services: Services, context: Context, server: Server, name: str, metadata: dict[str, str]
) -> str:
    """Start making an image; returns its id when the server is held for it and the image's record is there.

    Raises:
        KilonovaError: the refusal, by its OpenStack code; nothing is left of the request.
    """
    named: dict[str, Any] = {"name": name, "user_id": context.user_id, "metadata": metadata}
    on_volumes = server.image_id is None
    if on_volumes:
        fields = volume_image_fields(server, await _facts(services, server), **named)
    else:
        fields = image_fields(server, await _base(services, server), image_type=SNAPSHOT, **named)
    image_id = str(uuid.uuid4())
    what = {"image_id": image_id, "fields": fields, "on_volumes": on_volumes}
    await _run(services, context, server, Verb.CREATE_IMAGE, **what)
    return image_id


async def create_backup(
    services: Services,
    context: Context,
    server: Server,
    name: str,
    metadata: dict[str, str],
    *,
    backup_type: str,
    rotation: int,
) -> str | None:
    """Start making a backup, which replaces the oldest of its type beyond ``rotation``; None: with 0 none is made.

    Raises as ``create_image``.
    """
    fields = image_fields(
        server,
        await _base(services, server),
        name=name,
        user_id=context.user_id,
        image_type=BACKUP,
        backup_type=backup_type,
        metadata=metadata,
    )
    made: dict[str, Any] = {"image_id": str(uuid.uuid4()), "fields": fields} if rotation else {}
    kept = Rotation(backup_type=backup_type, keep=rotation)
    await _run(services, context, server, Verb.CREATE_BACKUP, rotation=kept, **made)
    return made.get("image_id")


async def _run(services: Services, context: Context, server: Server, verb: Verb, **what: Any) -> None:
    params = CreateImageParams(
        server_id=server.id,
        name=server.name[:60],
        begin=start.begin_verb(context, server, verb),
        token=services.sealer.seal(context.token, server_id=server.id, field="token"),
        **what,
    )
    await start.hold(services, context, server, verb, CreateImage.run, params)


async def shelve(services: Services, context: Context, server: Server) -> None:
    """Start shelving a server: its disk becomes an image, unless it is a volume, and it leaves its host.

    Raises as ``create_image``.
    """
    fields: dict[str, Any] = {}
    if server.image_id is not None:
        fields = image_fields(
            server,
            await _base(services, server),
            name=shelved_name(server),
            user_id=context.user_id,
            image_type=SNAPSHOT,
            metadata={},
        )
    params = ShelveParams(
        server_id=server.id,
        name=server.name[:60],
        begin=start.begin_verb(context, server, Verb.SHELVE),
        token=services.sealer.seal(context.token, server_id=server.id, field="token"),
        image_id=shelved_image_id(server.id, context.request_id),
        fields=fields,
    )
    await start.hold(services, context, server, Verb.SHELVE, ShelveServer.run, params)


async def _facts(services: Services, server: Server) -> dict[str, str]:
    """What the volume that the server boots from keeps of its image."""
    root = next((device.volume_id for device in server.block_devices if device.boot_index == 0), None)
    try:
        return (await services.db.read(volumes.get, root or "")).image_metadata
    except NotFound:
        return {}


async def _base(services: Services, server: Server) -> Image | None:
    """The image that the server was booted from, whoever may see it by now; None where it is gone."""
    try:
        return await services.db.read(images.get, server.image_id or "", None, everything=True)
    except NotFound:
        return None
