"""``/servers/{id}/metadata`` (Compute API reference, "Server metadata")."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from sqlmodel import Session

from api.compute.common import ChangeableServer, ReadableServer, empty
from api.compute.wire import Metadata, Wire, body
from api.deps import ServicesDep
from infra.db import quotas, server_details
from infra.domain.errors import BadRequest, NotFound
from infra.domain.server import Server

router = APIRouter()


class MetadataRequest(Wire):
    metadata: Metadata


class MetadataItemRequest(Wire):
    meta: Metadata


def _set(session: Session, server: Server, metadata: dict[str, str], replace: bool) -> dict[str, str]:
    limit = quotas.get(session, server.project_id).metadata_items
    return server_details.set_metadata(session, server.id, metadata, limit=limit, replace=replace).metadata


@router.get("/servers/{server_id}/metadata")
async def list_all(server: ReadableServer) -> dict[str, Any]:
    return {"metadata": server.metadata}


@router.post("/servers/{server_id}/metadata")
async def add(
    server: ChangeableServer, wanted: Annotated[MetadataRequest, body(MetadataRequest)], found: ServicesDep
) -> dict[str, Any]:
    return {"metadata": await found.db.write(_set, server, wanted.metadata, False)}


@router.put("/servers/{server_id}/metadata")
async def replace(
    server: ChangeableServer, wanted: Annotated[MetadataRequest, body(MetadataRequest)], found: ServicesDep
) -> dict[str, Any]:
    return {"metadata": await found.db.write(_set, server, wanted.metadata, True)}


@router.get("/servers/{server_id}/metadata/{key}")
async def show(key: str, server: ReadableServer) -> dict[str, Any]:
    if key not in server.metadata:
        raise NotFound("Metadata item was not found")
    return {"meta": {key: server.metadata[key]}}


@router.put("/servers/{server_id}/metadata/{key}")
async def set_one(
    key: str,
    server: ChangeableServer,
    wanted: Annotated[MetadataItemRequest, body(MetadataItemRequest)],
    found: ServicesDep,
) -> dict[str, Any]:
    if list(wanted.meta) != [key]:
        raise BadRequest("Request body and URI mismatch")
    await found.db.write(_set, server, wanted.meta, False)
    return {"meta": wanted.meta}


@router.delete("/servers/{server_id}/metadata/{key}", status_code=204)
async def delete(key: str, server: ChangeableServer, found: ServicesDep) -> Response:
    await found.db.write(server_details.delete_metadata, server.id, key)
    return empty(204)
