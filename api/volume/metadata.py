"""Metadata of volumes and snapshots (Block Storage API v3, "metadata")."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from fastapi import Body, FastAPI, Response

from api.volume.schemas import MAX_METADATA, MetaBody, MetadataBody
from api.volume.wire import Call, ReadCall, WriteCall, check
from infra.db import snapshots, volumes
from infra.domain.errors import BadRequest, NotFound

Metadata = dict[str, str]


def add_to(app: FastAPI) -> None:
    _routes(app, "/v3/volumes/{thing_id}/metadata", volumes)
    _routes(app, "/v3/snapshots/{thing_id}/metadata", snapshots)


def _routes(app: FastAPI, path: str, rows: ModuleType) -> None:
    @app.get(path)
    async def show(thing_id: str, call: ReadCall) -> dict[str, Any]:
        return {"metadata": await _read(call, rows, thing_id)}

    @app.post(path)
    async def merge(thing_id: str, call: WriteCall, body: Any = Body()) -> dict[str, Any]:
        sent = check(MetadataBody, body).metadata
        return {"metadata": await _change(call, rows, thing_id, lambda old: {**old, **sent})}

    @app.put(path)
    async def replace(thing_id: str, call: WriteCall, body: Any = Body()) -> dict[str, Any]:
        sent = check(MetadataBody, body).metadata
        return {"metadata": await _change(call, rows, thing_id, lambda old: sent)}

    @app.get(path + "/{key}")
    async def show_one(thing_id: str, key: str, call: ReadCall) -> dict[str, Any]:
        found = await _read(call, rows, thing_id)
        if key not in found:
            raise NotFound("There is no such metadata key.")
        return {"meta": {key: found[key]}}

    @app.put(path + "/{key}")
    async def put_one(thing_id: str, key: str, call: WriteCall, body: Any = Body()) -> dict[str, Any]:
        sent = check(MetaBody, body).meta
        if key not in sent:
            raise BadRequest("Request body and URI mismatch")
        await _change(call, rows, thing_id, lambda old: {**old, **sent})
        return {"meta": sent}

    @app.delete(path + "/{key}")
    async def delete_one(thing_id: str, key: str, call: WriteCall) -> Response:
        await _change(call, rows, thing_id, lambda old: _without(old, key))
        return Response(status_code=200)


async def _read(call: Call, rows: ModuleType, thing_id: str) -> Metadata:
    found: Metadata = (await call.services.db.read(rows.get, thing_id, call.project)).metadata
    return found


async def _change(call: Call, rows: ModuleType, thing_id: str, change: Callable[[Metadata], Metadata]) -> Metadata:
    def bounded(old: Metadata) -> Metadata:
        new = change(old)
        if len(new) > MAX_METADATA:
            raise BadRequest(f"At most {MAX_METADATA} metadata keys are allowed.")
        return new

    changed: Metadata = await call.services.db.write(rows.change_metadata, thing_id, call.project, bounded)
    return changed


def _without(old: Metadata, key: str) -> Metadata:
    if key not in old:
        raise NotFound("There is no such metadata key.")
    return {name: value for name, value in old.items() if name != key}
