"""Actions on volumes (Block Storage API v3, "Volume actions").

Workers attach and detach by ``attachments.py``; the actions here that do so only keep the books, as Cinder's do.
"""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Body, FastAPI, Response
from fastapi.responses import JSONResponse
from sqlmodel import Session

from api.volume import volumes as verbs
from api.volume.schemas import Attach, Detach, Extend, ResetStatus, Retype, SetBootable, SetReadOnly, UploadImage
from api.volume.views import type_view
from api.volume.wire import Call, WriteCall, check, timestamp
from infra.db import images, volume_attachments, volume_types, volumes
from infra.db.types import now
from infra.domain.errors import BadRequest, Conflict, Forbidden, NotFound
from infra.domain.image import Image
from infra.domain.volume import DEFAULT_TYPE, Volume, VolumeAttachment

Act = Callable[[Call, str, Any], Awaitable[Response | None]]


def add_to(app: FastAPI) -> None:
    @app.post("/v3/volumes/{volume_id}/action", status_code=202)
    async def act(volume_id: str, call: WriteCall, body: Any = Body()) -> Response:
        if not isinstance(body, dict) or len(body) != 1:
            raise BadRequest("The request body must have exactly one action.")
        name, argument = next(iter(body.items()))
        if name not in ACTIONS:
            raise BadRequest("There is no such action.")
        await call.services.db.read(volumes.get, volume_id, call.project)
        return await ACTIONS[name](call, volume_id, argument) or Response(status_code=202)


def _moves(sources: tuple[str, ...], target: str) -> Act:
    async def act(call: Call, volume_id: str, argument: Any) -> None:
        await call.services.db.write(volumes.move, volume_id, call.project, sources, target)

    return act


async def _unreserve(call: Call, volume_id: str, argument: Any) -> None:
    await call.services.db.write(_give_back, call, volume_id)


def _give_back(session: Session, call: Call, volume_id: str) -> None:
    """attaching -> available, where no attachment holds it; any other status stays."""
    volume = volumes.get(session, volume_id, call.project)
    if volume.status == "attaching" and not volume.attachments:
        volumes.move(session, volume_id, call.project, ("attaching",), "available")


async def _attach(call: Call, volume_id: str, argument: Any) -> None:
    wanted = check(Attach, argument)
    if wanted.instance_uuid is None:
        raise BadRequest("Invalid input received: volumes are attached to servers: instance_uuid is missing.")
    await call.services.db.write(_attach_now, call, volume_id, wanted)


def _attach_now(session: Session, call: Call, volume_id: str, wanted: Attach) -> None:
    volume = volumes.get(session, volume_id, call.project)
    if volume.status == "attaching" and not volume.attachments:
        volumes.move(session, volume_id, call.project, ("attaching",), "available")
    attachment = VolumeAttachment(
        id=str(uuid.uuid4()),
        volume_id=volume_id,
        server_id=str(wanted.instance_uuid),
        host=None,
        device=wanted.mountpoint,
        mode=wanted.mode,
        status="attached",
        attached_at=now(),
    )
    volume_attachments.attach(session, attachment, call.project)


async def _detach(call: Call, volume_id: str, argument: Any) -> None:
    wanted = check(Detach, argument or {})
    await call.services.db.write(_detach_now, call, volume_id, wanted.attachment_id)


def _detach_now(session: Session, call: Call, volume_id: str, attachment_id: str | None) -> None:
    held = volumes.get(session, volume_id, call.project).attachments
    if attachment_id is not None:
        held = tuple(attachment for attachment in held if attachment.id == attachment_id)
    if not held:
        raise NotFound("Volume attachment could not be found.")
    refuse_if_a_server_has_it(call, held[0])
    volume_attachments.detach(session, held[0].id, call.project)


def refuse_if_a_server_has_it(call: Call, attachment: VolumeAttachment) -> None:
    """Raises Conflict where a server has the volume: only the compute service may take it away."""
    if (attachment.host is not None or attachment.attempt) and not call.context.is_service:
        raise Conflict(f"Detach the volume from instance {attachment.server_id} using the Compute API.")


async def _extend(call: Call, volume_id: str, argument: Any) -> None:
    wanted = check(Extend, argument)
    await call.services.db.write(volumes.begin_extend, volume_id, call.project, wanted.new_size, call.quota)
    await verbs.follow_up(call, volume_id)


async def _set_bootable(call: Call, volume_id: str, argument: Any) -> Response:
    wanted = check(SetBootable, argument)
    await call.services.db.write(volumes.update, volume_id, call.project, {"bootable": wanted.bootable})
    return Response(status_code=200)


async def _set_read_only(call: Call, volume_id: str, argument: Any) -> None:
    wanted = check(SetReadOnly, argument)
    await call.services.db.write(_mark_read_only, call, volume_id, wanted.readonly)


def _mark_read_only(session: Session, call: Call, volume_id: str, read_only: bool) -> None:
    volumes.move(session, volume_id, call.project, ("available",), "available")
    volumes.update(session, volume_id, call.project, {"read_only": read_only})


async def _reset_status(call: Call, volume_id: str, argument: Any) -> None:
    call.context.require("admin")
    wanted = check(ResetStatus, argument)
    if wanted.status is None:
        raise BadRequest("Invalid input received: the status is missing.")
    await call.services.db.write(volumes.reset_status, volume_id, wanted.status)


async def _force_delete(call: Call, volume_id: str, argument: Any) -> None:
    call.context.require("admin")
    await verbs.delete_volume(call, volume_id, force=True)


async def _retype(call: Call, volume_id: str, argument: Any) -> None:
    await call.services.db.write(_retype_now, call, volume_id, check(Retype, argument).new_type)


def _retype_now(session: Session, call: Call, volume_id: str, wanted: str) -> None:
    """All types are files of the same kind: only the name changes."""
    new_type = volume_types.get(session, wanted)
    volumes.move(session, volume_id, call.project, ("available",), "available")
    volumes.update(session, volume_id, call.project, {"volume_type": new_type.name})


async def _upload(call: Call, volume_id: str, argument: Any) -> Response:
    wanted = check(UploadImage, argument)
    if wanted.visibility == "public" and not call.context.is_admin:
        raise Forbidden("Only administrators may make an image public.")
    volume, image = await call.services.db.write(_begin_upload, call, volume_id, wanted)
    await verbs.follow_up(call, volume_id)
    return JSONResponse({"os-volume_upload_image": _upload_view(volume, image)}, 202)


def _begin_upload(session: Session, call: Call, volume_id: str, wanted: UploadImage) -> tuple[Volume, Image]:
    image = Image(
        id=str(uuid.uuid4()),
        name=wanted.image_name,
        owner=volumes.get(session, volume_id, call.project).project_id,
        status="queued",
        visibility=wanted.visibility,
        protected=wanted.protected,
        disk_format=wanted.disk_format,
        container_format=wanted.container_format,
        created_at=now(),
        updated_at=now(),
    )
    images.create(session, image)
    return volumes.begin_upload(session, volume_id, call.project, image.id), image


def _upload_view(volume: Volume, image: Image) -> dict[str, Any]:
    return {
        "id": volume.id,
        "status": volume.status,
        "size": volume.size_gb,
        "display_description": volume.description,
        "updated_at": timestamp(volume.updated_at),
        "volume_type": type_view(DEFAULT_TYPE),
        "image_id": image.id,
        "image_name": image.name,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "visibility": image.visibility,
        "protected": image.protected,
    }


async def _connect(call: Call, volume_id: str, argument: Any) -> Response:
    if not call.context.is_service:
        raise Forbidden("Only Kilonova's own services may do this.")
    return JSONResponse({"connection_info": connection_info(call, volume_id)}, 200)


def connection_info(call: Call, volume_id: str) -> dict[str, Any]:
    """How a host reaches the data."""
    connection = call.services.volumes.connection(volume_id)
    data = {"path": str(connection.path), "format": connection.format, "volume_id": volume_id}
    return {"driver_volume_type": "local", "data": data}


async def _nothing(call: Call, volume_id: str, argument: Any) -> None:
    return


ACTIONS: dict[str, Act] = {
    "os-reserve": _moves(("available",), "attaching"),
    "os-unreserve": _unreserve,
    "os-attach": _attach,
    "os-detach": _detach,
    "os-force_detach": _detach,
    "os-begin_detaching": _moves(("in-use",), "detaching"),
    "os-roll_detaching": _moves(("detaching",), "in-use"),
    "os-extend": _extend,
    "os-set_bootable": _set_bootable,
    "os-update_readonly_flag": _set_read_only,
    "os-retype": _retype,
    "os-reset_status": _reset_status,
    "os-force_delete": _force_delete,
    "os-volume_upload_image": _upload,
    "os-initialize_connection": _connect,
    "os-terminate_connection": _nothing,
}
