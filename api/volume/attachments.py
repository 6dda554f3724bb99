"""Attachments (Block Storage API v3, 3.27 and later): what workers attach volumes by, one call a volume.

A worker sends its attempt's ``Idempotency-Key``: a repeat finds its own attachment, a DELETE with the key closes it for
good, and a POST that comes later than that is 409.
"""

import uuid
from typing import Any

from fastapi import Body, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from sqlmodel import Session

from api.volume.actions import connection_info, refuse_if_a_server_has_it
from api.volume.schemas import Complete, NewAttachment, UpdateAttachment
from api.volume.views import attachment_detail, attachment_summary
from api.volume.wire import Call, ReadCall, WriteCall, check, links, listed, page
from infra.db import volume_attachments
from infra.db.types import now
from infra.domain.errors import BadRequest, Forbidden
from infra.domain.volume import VolumeAttachment

_FILTERS: dict[str, Any] = {
    "volume_id": lambda attachment, value: attachment.volume_id == value,
    "instance_id": lambda attachment, value: attachment.server_id == value,
    "status": lambda attachment, value: attachment.status == value,
    "attach_status": lambda attachment, value: attachment.status == value,
}
_SORT_KEYS = {"id": "id", "created_at": "attached_at", "volume_id": "volume_id", "instance_id": "server_id"}


def add_to(app: FastAPI) -> None:
    @app.post("/v3/attachments")
    async def create(call: WriteCall, body: Any = Body()) -> dict[str, Any]:
        attachment = _wanted(call, check(NewAttachment, body, "attachment"))
        key = _key(call, attachment.id)
        made = await call.services.db.write(volume_attachments.attach, attachment, call.project, key=key)
        return {"attachment": _detail(call, made)}

    @app.get("/v3/attachments")
    async def list_summaries(call: ReadCall, request: Request) -> dict[str, Any]:
        return await _list(call, request, detailed=False)

    @app.get("/v3/attachments/detail")
    async def list_details(call: ReadCall, request: Request) -> dict[str, Any]:
        return await _list(call, request, detailed=True)

    @app.get("/v3/attachments/{attachment_id}")
    async def show(attachment_id: str, call: ReadCall) -> dict[str, Any]:
        found = await call.services.db.read(volume_attachments.get, attachment_id, call.project)
        return {"attachment": _detail(call, found)}

    @app.put("/v3/attachments/{attachment_id}")
    async def update(attachment_id: str, call: WriteCall, body: Any = Body()) -> dict[str, Any]:
        connector = check(UpdateAttachment, body, "attachment").connector
        _require_service(call)
        args = (attachment_id, call.project, connector.host, connector.attempt)
        return {"attachment": _detail(call, await call.services.db.write(volume_attachments.connect, *args))}

    @app.post("/v3/attachments/{attachment_id}/action", status_code=204)
    async def act(attachment_id: str, call: WriteCall, body: Any = Body()) -> Response:
        if not isinstance(body, dict) or list(body) != ["os-complete"]:
            raise BadRequest("There is no such action.")
        _require_service(call)
        device = check(Complete, body["os-complete"] or {}).device
        await call.services.db.write(volume_attachments.complete, attachment_id, call.project, device)
        return Response(status_code=204)

    @app.delete("/v3/attachments/{attachment_id}")
    async def delete(attachment_id: str, call: WriteCall) -> Response:
        left = await call.services.db.write(_delete, call, attachment_id)
        return JSONResponse({"attachments": [_detail(call, one) for one in left]}, 200)


def _wanted(call: Call, new: NewAttachment) -> VolumeAttachment:
    """What is asked for. Without a connector the volume is reserved only, which its owner may do too."""
    if new.connector is not None or new.id is not None:
        _require_service(call)
    connector = new.connector
    return VolumeAttachment(
        id=new.id or str(uuid.uuid4()),
        volume_id=new.volume_uuid,
        server_id=new.instance_uuid,
        host=connector.host if connector else None,
        attempt=connector.attempt if connector else 0,
        device=new.device or (connector.mountpoint if connector else None),
        mode=new.mode,
        status="attaching" if connector else "reserved",
        attached_at=now(),
    )


def _require_service(call: Call) -> None:
    if not call.context.is_service:
        raise Forbidden("Only Kilonova's own services may connect volumes to hosts.")


def _key(call: Call, attachment_id: str) -> str | None:
    key = call.context.idempotency_key
    return None if key is None else volume_attachments.own_key(key, attachment_id)


def _delete(session: Session, call: Call, attachment_id: str) -> list[VolumeAttachment]:
    """Remove it, and return what is left on the volume: nothing, as a volume has at most one."""
    key = _key(call, attachment_id)
    if key is None:
        refuse_if_a_server_has_it(call, volume_attachments.get(session, attachment_id, call.project))
    volume_attachments.detach(session, attachment_id, call.project, key=key)
    return []


def _detail(call: Call, attachment: VolumeAttachment) -> dict[str, Any]:
    connected = attachment.status != "reserved" and call.context.is_service
    return attachment_detail(attachment, connection_info(call, attachment.volume_id) if connected else {})


async def _list(call: Call, request: Request, *, detailed: bool) -> dict[str, Any]:
    project = None if call.context.is_admin and "all_tenants" in request.query_params else call.context.project_id
    found = await call.services.db.read(volume_attachments.all_of, project)
    keys = {**_SORT_KEYS, "created_at": "attached_at"}
    shown, following = page(listed(found, request.query_params, _FILTERS, keys), request.query_params)
    path = "attachments/detail" if detailed else "attachments"
    views = [_detail(call, one) if detailed else attachment_summary(one) for one in shown]
    return {"attachments": views, **links("attachments", call, path, following)}
