"""``/servers/{id}/tags``, from 2.26 on (Compute API reference, "Server tags")."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Response
from pydantic import Field, TypeAdapter, ValidationError

from api.compute.common import ChangeableServer, ReadableServer, empty
from api.compute.microversion import versions
from api.compute.wire import Tag, Wire, body
from api.deps import ServicesDep
from infra.db import server_details
from infra.domain.errors import BadRequest, NotFound

router = APIRouter(dependencies=[versions(26)])
_TAG: TypeAdapter[str] = TypeAdapter(Tag)


class TagsRequest(Wire):
    tags: Annotated[list[Tag], Field(max_length=server_details.MAX_TAGS)]


@router.get("/servers/{server_id}/tags")
async def list_all(server: ReadableServer) -> dict[str, Any]:
    return {"tags": sorted(server.tags)}


@router.put("/servers/{server_id}/tags")
async def replace(
    server: ChangeableServer, wanted: Annotated[TagsRequest, body(TagsRequest)], found: ServicesDep
) -> dict[str, Any]:
    changed = await found.db.write(server_details.set_tags, server.id, wanted.tags)
    return {"tags": list(changed.tags)}


@router.delete("/servers/{server_id}/tags", status_code=204)
async def delete_all(server: ChangeableServer, found: ServicesDep) -> Response:
    await found.db.write(server_details.set_tags, server.id, [])
    return empty(204)


@router.get("/servers/{server_id}/tags/{tag}", status_code=204)
async def check(tag: str, server: ReadableServer) -> Response:
    if tag not in server.tags:
        raise NotFound(f"Server {server.id} has no tag '{tag}'")
    return empty(204)


@router.put("/servers/{server_id}/tags/{tag}")
async def add(tag: str, server: ChangeableServer, found: ServicesDep) -> Response:
    try:
        _TAG.validate_python(tag)
    except ValidationError:
        raise BadRequest("Invalid tag: it must be 1 to 60 printable characters without comma or slash.") from None
    new = await found.db.write(server_details.add_tag, server.id, tag)
    location = f"{found.settings.api_url}/compute/v2.1/servers/{server.id}/tags/{quote(tag)}"
    return Response(status_code=201 if new else 204, headers={"Location": location})


@router.delete("/servers/{server_id}/tags/{tag}", status_code=204)
async def delete(tag: str, server: ChangeableServer, found: ServicesDep) -> Response:
    await found.db.write(server_details.delete_tag, server.id, tag)
    return empty(204)
