"""``/servers/{id}/os-volume_attachments`` (Compute API reference, "Servers with volume attachments")."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api import start_volume
from api.auth import MemberDep
from api.compute.common import ChangeableServer, NotImplementedHere, ReadableServer, empty
from api.compute.microversion import Version
from api.compute.paging import page, whole_number
from api.compute.schemas.block_devices import DeviceName
from api.compute.wire import Boolean, Tag, Uuid, Versions, Wire, body
from api.deps import ServicesDep
from infra.db import server_details, shelved_volumes, volumes
from infra.db.admission import attachment_id
from infra.domain.errors import BadRequest, NotFound
from infra.domain.server import Server, VmState
from infra.domain.volume import VolumeAttachment

router = APIRouter()
_SHELVED_VOLUMES = 20


class NewAttachment(Wire):
    volume_id: Annotated[Uuid, Field(alias="volumeId")]
    device: DeviceName | None = None
    tag: Annotated[Tag | None, Versions(49)] = None
    delete_on_termination: Annotated[Boolean, Versions(79)] = False


class NewAttachmentRequest(Wire):
    attachment: Annotated[NewAttachment, Field(alias="volumeAttachment")]


def _view(attachment: VolumeAttachment, version: int) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "volumeId": attachment.volume_id,
        "serverId": attachment.server_id,
        "device": attachment.device,
    }
    if version < 89:
        shown["id"] = attachment.volume_id
    else:
        shown |= {"attachment_id": attachment.id, "bdm_uuid": attachment.id}
    if version >= 70:
        shown["tag"] = None
    if version >= 79:
        shown["delete_on_termination"] = attachment.delete_on_termination
    return shown


async def _attachments(server: Server, found: ServicesDep) -> list[VolumeAttachment]:
    return await found.db.read(server_details.attachments, (server.id,))


@router.get("/servers/{server_id}/os-volume_attachments")
async def list_all(request: Request, server: ReadableServer, found: ServicesDep, version: Version) -> dict[str, Any]:
    offset = whole_number(request.query_params, "offset") or 0
    attached = (await _attachments(server, found))[offset:][: page(request.query_params).limit]
    return {"volumeAttachments": [_view(attachment, version) for attachment in attached]}


@router.get("/servers/{server_id}/os-volume_attachments/{volume_id}")
async def show(volume_id: str, server: ReadableServer, found: ServicesDep, version: Version) -> dict[str, Any]:
    return {"volumeAttachment": _view(await _one(server, volume_id, found), version)}


@router.post("/servers/{server_id}/os-volume_attachments")
async def attach(
    server: ChangeableServer,
    context: MemberDep,
    wanted: Annotated[NewAttachmentRequest, body(NewAttachmentRequest)],
    found: ServicesDep,
    version: Version,
) -> dict[str, Any]:
    """Answers when the volume is reserved for the server; the rest goes on."""
    asked = wanted.attachment
    volume = await found.db.read(volumes.get, asked.volume_id, None if context.is_admin else context.project_id)
    if _is_on_no_host(server, version):
        device = await found.db.write(
            shelved_volumes.attach,
            server_id=server.id,
            volume_id=volume.id,
            attachment_id=attachment_id(server.id, f"{volume.id}/{context.request_id}"),
            project_id=context.project_id,
            user_id=context.user_id,
            request_id=context.request_id,
            device=asked.device,
            delete_on_termination=asked.delete_on_termination,
        )
    else:
        begun = await start_volume.attach(
            found, context, server, volume.id, device=asked.device, delete_on_termination=asked.delete_on_termination
        )
        device = begun.device
    shown: dict[str, Any] = {
        "id": volume.id,
        "volumeId": volume.id,
        "serverId": server.id,
        "device": f"/dev/{device.removeprefix('/dev/')}",
    }
    if version >= 70:
        shown["tag"] = None
    if version >= 79:
        shown["delete_on_termination"] = asked.delete_on_termination
    return {"volumeAttachment": shown}


@router.put("/servers/{server_id}/os-volume_attachments/{volume_id}")
async def change(volume_id: str, server: ChangeableServer) -> Response:
    raise NotImplementedHere("Volume attachments can not be changed; detach the volume and attach another.")


@router.delete("/servers/{server_id}/os-volume_attachments/{volume_id}", status_code=202)
async def detach(
    volume_id: str, server: ChangeableServer, context: MemberDep, found: ServicesDep, version: Version
) -> Response:
    await _one(server, volume_id, found)
    if any(device.volume_id == volume_id and device.boot_index == 0 for device in server.block_devices):
        raise BadRequest("Cannot detach a root device volume")
    if _is_on_no_host(server, version):
        await found.db.write(
            shelved_volumes.detach,
            server_id=server.id,
            volume_id=volume_id,
            user_id=context.user_id,
            request_id=context.request_id,
        )
    else:
        await start_volume.detach(found, context, server, volume_id)
    return empty(202)


def _is_on_no_host(server: Server, version: int) -> bool:
    """Its volumes come and go in rows alone, from 2.20 on; before that it takes none (409)."""
    return server.vm_state is VmState.SHELVED_OFFLOADED and version >= _SHELVED_VOLUMES


async def _one(server: Server, volume_id: str, found: ServicesDep) -> VolumeAttachment:
    for attachment in await _attachments(server, found):
        if attachment.volume_id == volume_id:
            return attachment
    raise NotFound(f"Instance {server.id} is not attached to volume {volume_id}.")
