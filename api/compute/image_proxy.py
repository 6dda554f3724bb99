"""``/images`` as the compute API had it until 2.35: a view of the Image Service (Compute API reference)."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import QueryParams

from api.auth import Context, MemberDep, ReaderDep
from api.compute.common import empty
from api.compute.links import add_next, links, seconds
from api.compute.microversion import versions
from api.compute.paging import page
from api.compute.server_filter import moment
from api.deps import ServicesDep
from infra.db import images
from infra.domain.errors import BadRequest, NotFound
from infra.domain.image import Image

router = APIRouter(dependencies=[versions(last=35)])
_STATUS = {"active": "ACTIVE", "queued": "SAVING", "saving": "SAVING", "killed": "ERROR", "deleted": "DELETED"}


def _brief(image: Image, base: str) -> dict[str, Any]:
    alternate = {
        "rel": "alternate",
        "type": "application/vnd.openstack.image",
        "href": f"{base}/image/images/{image.id}",
    }
    return {"id": image.id, "name": image.name or "", "links": [*links(base, "images", image.id), alternate]}


def _detail(image: Image, base: str) -> dict[str, Any]:
    status = _STATUS.get(image.status, "UNKNOWN")
    server_id = image.properties.get("instance_uuid")
    server = {"server": {"id": server_id, "links": links(base, "servers", server_id)}} if server_id else {}
    return (
        _brief(image, base)
        | server
        | {
            "status": status,
            "progress": {"ACTIVE": 100, "SAVING": 25}.get(status, 0),
            "minDisk": image.min_disk,
            "minRam": image.min_ram,
            "created": seconds(image.created_at),
            "updated": seconds(image.updated_at),
            "metadata": {name: str(value) for name, value in image.properties.items()},
            "OS-EXT-IMG-SIZE:size": image.size or 0,
        }
    )


def _filters(query: QueryParams) -> list[Callable[[Image], bool]]:
    """Raises BadRequest for what is no time in ``changes-since``."""
    found: list[Callable[[Image], bool]] = []
    if "name" in query:
        found.append(lambda image: image.name == query["name"])
    if "status" in query:
        found.append(lambda image: _STATUS.get(image.status) == query["status"].upper())
    if "server" in query:
        server_id = query["server"].rstrip("/").rsplit("/", 1)[-1]
        found.append(lambda image: image.properties.get("instance_uuid") == server_id)
    if "type" in query:
        found.append(lambda image: image.properties.get("image_type") == query["type"])
    if "changes-since" in query:
        since = moment(query["changes-since"], "changes-since")
        found.append(lambda image: image.updated_at >= since)
    return found


async def _list(request: Request, context: Context, found: ServicesDep) -> list[Image]:
    query, asked = request.query_params, page(request.query_params)
    filters = _filters(query)
    visible = await found.db.read(images.visible, context.identity.project_id, everything=context.is_admin)
    shown = sorted(visible, key=lambda image: (image.created_at, image.id), reverse=True)
    shown = [image for image in shown if all(matches(image) for matches in filters)]
    if asked.marker is not None:
        ids = [image.id for image in shown]
        if asked.marker not in ids:
            raise BadRequest(f"Marker {asked.marker} could not be found.")
        shown = shown[ids.index(asked.marker) + 1 :]
    return shown[: asked.limit]


@router.get("/images")
async def list_brief(request: Request, context: ReaderDep, found: ServicesDep) -> dict[str, Any]:
    base = found.settings.api_url
    shown = [_brief(image, base) for image in await _list(request, context, found)]
    return add_next({"images": shown}, "images", base, "images", request.query_params, shown)


@router.get("/images/detail")
async def list_detail(request: Request, context: ReaderDep, found: ServicesDep) -> dict[str, Any]:
    base = found.settings.api_url
    shown = [_detail(image, base) for image in await _list(request, context, found)]
    return add_next({"images": shown}, "images", base, "images/detail", request.query_params, shown)


@router.get("/images/{image_id}")
async def show(image_id: str, context: ReaderDep, found: ServicesDep) -> dict[str, Any]:
    return {"image": _detail(await _image(image_id, context, found), found.settings.api_url)}


@router.get("/images/{image_id}/metadata")
async def metadata(image_id: str, context: ReaderDep, found: ServicesDep) -> dict[str, Any]:
    shown = _detail(await _image(image_id, context, found), found.settings.api_url)
    return {"metadata": shown["metadata"]}


@router.delete("/images/{image_id}", status_code=204)
async def delete(image_id: str, context: MemberDep, found: ServicesDep) -> Response:
    """The row, then the data: what a failure leaves between the two, the image service sweeps up."""
    image = await _image(image_id, context, found)
    if not context.is_admin and image.owner != context.project_id:
        raise NotFound(f"Image {image_id} could not be found.")
    await found.db.write(images.delete, image_id)
    await found.images.delete(image_id)
    return empty(204)


async def _image(image_id: str, context: Context, found: ServicesDep) -> Image:
    return await found.db.read(images.get, image_id, context.identity.project_id, everything=context.is_admin)
