"""Volumes: create, list, show, change, delete (Block Storage API v3, "Volumes")."""

import logging
import uuid
from typing import Any

from fastapi import Body, FastAPI, Request, Response
from sqlmodel import Session

from api import start_volume
from api.volume import query
from api.volume.schemas import NewVolume, VolumeChange
from api.volume.sources import Source, source_of
from api.volume.views import created, detail, summary
from api.volume.wire import Call, ReadCall, WriteCall, check, links, page
from infra.db import idempotency, snapshots, volume_types, volumes
from infra.db.types import now
from infra.domain.errors import BadRequest, Unavailable
from infra.domain.volume import DEFAULT_TYPE, Volume

ZONE = "nova"
log = logging.getLogger(__name__)


def add_to(app: FastAPI) -> None:
    @app.post("/v3/volumes", status_code=202)
    async def create(call: WriteCall, body: Any = Body()) -> dict[str, Any]:
        volume = await create_volume(call, check(NewVolume, body, "volume"))
        return {"volume": created(volume, call)}

    @app.get("/v3/volumes")
    async def list_summaries(call: ReadCall, request: Request) -> dict[str, Any]:
        shown, following = await _list(call, request)
        return {
            "volumes": [summary(volume, call) for volume in shown],
            **links("volumes", call, "volumes", following),
        }

    @app.get("/v3/volumes/detail")
    async def list_details(call: ReadCall, request: Request) -> dict[str, Any]:
        shown, following = await _list(call, request)
        return {
            "volumes": [detail(volume, call) for volume in shown],
            **links("volumes", call, "volumes/detail", following),
        }

    @app.get("/v3/volumes/summary")
    async def sums(call: ReadCall, request: Request) -> dict[str, Any]:
        found = await call.services.db.read(volumes.all_of, query.project_of(call, request.query_params))
        totals: dict[str, Any] = {"total_count": len(found), "total_size": sum(volume.size_gb for volume in found)}
        if call.version >= 36:
            totals["metadata"] = _metadata_of(found)
        return {"volume-summary": totals}

    @app.get("/v3/volumes/{volume_id}")
    async def show(volume_id: str, call: ReadCall) -> dict[str, Any]:
        return {"volume": detail(await call.services.db.read(volumes.get, volume_id, call.project), call)}

    @app.put("/v3/volumes/{volume_id}")
    async def update(volume_id: str, call: WriteCall, body: Any = Body()) -> dict[str, Any]:
        change = check(VolumeChange, body, "volume")
        return {"volume": created(await call.services.db.write(_change, call, volume_id, change), call)}

    @app.delete("/v3/volumes/{volume_id}", status_code=202)
    async def delete(volume_id: str, call: WriteCall, request: Request) -> Response:
        if request.query_params.get("cascade", "false").lower() in ("true", "1"):
            await call.services.db.write(snapshots.begin_delete_with_volume, volume_id, call.project)
            await follow_up(call, volume_id)
        else:
            await delete_volume(call, volume_id)
        return Response(status_code=202)


async def create_volume(call: Call, new: NewVolume) -> Volume:
    """Raises what refuses it; nothing is left then."""
    context, services = call.context, call.services
    if new.id is not None and not context.is_service:
        raise BadRequest("Additional properties are not allowed ('id' was unexpected).")
    if new.multiattach:
        raise BadRequest("Volumes that several servers attach at once are not supported.")
    if new.availability_zone not in (None, ZONE):
        raise BadRequest(f"Availability zone '{new.availability_zone}' is invalid.")
    volume = await services.db.write(_insert, call, new)
    try:
        await start_volume.work_on(services, volume.id)
    except Unavailable:
        await services.db.write(volumes.begin_delete, volume.id, force=True)
        raise
    return volume


def _insert(session: Session, call: Call, new: NewVolume) -> Volume:
    volume_type = volume_types.get(session, new.volume_type or DEFAULT_TYPE.id)
    source = source_of(session, call, new)
    return volumes.create(
        session, _volume(call, new, source, volume_type.name), call.quota, key=call.context.idempotency_key
    )


def _volume(call: Call, new: NewVolume, source: Source, volume_type: str) -> Volume:
    return Volume(
        id=new.id or str(uuid.uuid4()),
        project_id=call.context.project_id,
        user_id=call.context.user_id,
        name=new.name if new.name is not None else new.display_name,
        description=new.description if new.description is not None else new.display_description,
        size_gb=source.size_gb,
        status="creating",
        bootable=source.bootable,
        image_id=source.image_id,
        image_metadata=source.image_metadata,
        snapshot_id=source.snapshot_id,
        source_volume_id=source.volume_id,
        volume_type=volume_type,
        availability_zone=ZONE,
        metadata=new.metadata or {},
        created_at=now(),
    )


async def delete_volume(call: Call, volume_id: str, *, force: bool = False) -> None:
    """Raises NotFound, or BadRequest where it is in use. A worker's key is buried, and it has its way."""
    key = call.context.idempotency_key
    if key is not None:
        await call.services.db.write(idempotency.bury, key)
    await call.services.db.write(volumes.begin_delete, volume_id, call.project, force=force or key is not None)
    await follow_up(call, volume_id)


async def follow_up(call: Call, resource_id: str, kind: str = "volume") -> None:
    """Have the data follow the row, which says what is to be done; where Temporal is away the sweeper starts it."""
    try:
        await start_volume.work_on(call.services, resource_id, kind)
    except Unavailable:
        log.warning("The work on %s %s starts later: Temporal does not answer.", kind, resource_id)


async def _list(call: Call, request: Request) -> tuple[list[Volume], str | None]:
    found = await call.services.db.read(volumes.all_of, query.project_of(call, request.query_params))
    return page(query.volumes(found, request.query_params), request.query_params)


def _change(session: Session, call: Call, volume_id: str, change: VolumeChange) -> Volume:
    sent = change.model_fields_set
    changes: dict[str, Any] = {}
    for name in ("name", "description"):
        for spelling in (f"display_{name}", name):
            if spelling in sent:
                changes[name] = getattr(change, spelling)
    if change.metadata is not None:
        changes["metadata"] = change.metadata
    if not changes:
        raise BadRequest("The request body must have at least one of name, description and metadata.")
    return volumes.update(session, volume_id, call.project, changes)


def _metadata_of(found: list[Volume]) -> dict[str, list[str]]:
    collected: dict[str, set[str]] = {}
    for volume in found:
        for key, value in volume.metadata.items():
            collected.setdefault(key, set()).add(value)
    return {key: sorted(values) for key, values in collected.items()}
