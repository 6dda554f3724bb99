"""Snapshots (Block Storage API v3, "Snapshots"): full copies of volumes as they are at one moment."""

import uuid
from typing import Any

from fastapi import Body, FastAPI, Request, Response
from sqlmodel import Session

from api import start_volume
from api.volume import query
from api.volume.schemas import NewSnapshot, ResetStatus, VolumeChange
from api.volume.views import snapshot_view
from api.volume.volumes import follow_up
from api.volume.wire import Call, ReadCall, WriteCall, check, links, page
from infra.db import idempotency, snapshots, volumes
from infra.db.types import now
from infra.domain.errors import BadRequest, Unavailable
from infra.domain.volume import Snapshot

_WITHOUT_FORCE = 66


def add_to(app: FastAPI) -> None:
    @app.post("/v3/snapshots", status_code=202)
    async def create(call: WriteCall, body: Any = Body()) -> dict[str, Any]:
        return {"snapshot": snapshot_view(await _create(call, check(NewSnapshot, body, "snapshot")), call)}

    @app.get("/v3/snapshots")
    async def list_snapshots(call: ReadCall, request: Request) -> dict[str, Any]:
        return await _list(call, request, extended=False)

    @app.get("/v3/snapshots/detail")
    async def list_details(call: ReadCall, request: Request) -> dict[str, Any]:
        return await _list(call, request, extended=True)

    @app.get("/v3/snapshots/{snapshot_id}")
    async def show(snapshot_id: str, call: ReadCall) -> dict[str, Any]:
        found = await call.services.db.read(snapshots.get, snapshot_id, call.project)
        return {"snapshot": snapshot_view(found, call, extended=True)}

    @app.put("/v3/snapshots/{snapshot_id}")
    async def update(snapshot_id: str, call: WriteCall, body: Any = Body()) -> dict[str, Any]:
        changes = _changes(check(VolumeChange, body, "snapshot"))
        changed = await call.services.db.write(snapshots.update, snapshot_id, call.project, changes)
        return {"snapshot": snapshot_view(changed, call)}

    @app.delete("/v3/snapshots/{snapshot_id}", status_code=202)
    async def delete(snapshot_id: str, call: WriteCall) -> Response:
        await _delete(call, snapshot_id)
        return Response(status_code=202)

    @app.post("/v3/snapshots/{snapshot_id}/action", status_code=202)
    async def act(snapshot_id: str, call: WriteCall, body: Any = Body()) -> Response:
        call.context.require("admin")
        if isinstance(body, dict) and list(body) == ["os-reset_status"]:
            status = check(ResetStatus, body["os-reset_status"]).status
            if status not in ("available", "creating", "deleting", "error", "error_deleting"):
                raise BadRequest("Invalid input received: no such status of snapshots.")
            await call.services.db.write(snapshots.update, snapshot_id, None, {"status": status})
        elif isinstance(body, dict) and list(body) == ["os-force_delete"]:
            await _delete(call, snapshot_id, force=True)
        else:
            raise BadRequest("There is no such action.")
        return Response(status_code=202)


async def _create(call: Call, new: NewSnapshot) -> Snapshot:
    """Raises what refuses it; nothing is left then. What a worker asks for waits where Temporal is away."""
    context = call.context
    if new.id is not None and not context.is_service:
        raise BadRequest("Additional properties are not allowed ('id' was unexpected).")
    snapshot = await call.services.db.write(_insert, call, new)
    if context.idempotency_key is not None:
        await follow_up(call, snapshot.id, "snapshot")
        return snapshot
    try:
        await start_volume.work_on(call.services, snapshot.id, "snapshot")
    except Unavailable:
        await call.services.db.write(snapshots.begin_delete, snapshot.id, force=True)
        raise
    return snapshot


def _insert(session: Session, call: Call, new: NewSnapshot) -> Snapshot:
    volume = volumes.get(session, str(new.volume_id), call.project)
    snapshot = Snapshot(
        id=new.id or str(uuid.uuid4()),
        volume_id=volume.id,
        project_id=volume.project_id,
        user_id=call.context.user_id,
        name=new.name if new.name is not None else new.display_name,
        description=new.description if new.description is not None else new.display_description,
        size_gb=volume.size_gb,
        status="creating",
        metadata=new.metadata or {},
        created_at=now(),
    )
    key = call.context.idempotency_key
    return snapshots.create(session, snapshot, call.quota, in_use=_also_in_use(call, new), key=key)


def _also_in_use(call: Call, new: NewSnapshot) -> bool:
    """Of a volume that a server has a snapshot is made by force, or from 3.66 on as of any other."""
    if call.version < _WITHOUT_FORCE:
        return new.force
    if "force" in new.model_fields_set and not new.force:
        raise BadRequest("Invalid input received: 'force' can only be true from microversion 3.66 on.")
    return True


async def _delete(call: Call, snapshot_id: str, *, force: bool = False) -> None:
    key = call.context.idempotency_key
    if key is not None:
        # A worker has its way.
        await call.services.db.write(idempotency.bury, key)
    await call.services.db.write(snapshots.begin_delete, snapshot_id, call.project, force=force or key is not None)
    await follow_up(call, snapshot_id, "snapshot")


def _changes(change: VolumeChange) -> dict[str, Any]:
    sent = change.model_fields_set & {"name", "description"}
    if not sent:
        raise BadRequest("The request body must have at least one of name and description.")
    return {name: getattr(change, name) for name in sent}


async def _list(call: Call, request: Request, *, extended: bool) -> dict[str, Any]:
    found = await call.services.db.read(snapshots.all_of, query.project_of(call, request.query_params))
    shown, following = page(query.snapshots(found, request.query_params), request.query_params)
    views = [snapshot_view(snapshot, call, extended=extended) for snapshot in shown]
    return {"snapshots": views, **links("snapshots", call, "snapshots/detail" if extended else "snapshots", following)}
