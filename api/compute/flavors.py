"""``/flavors``: list and show for all, make and change for administrators (Compute API reference, "Flavors")."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api.auth import AdminDep, Context, ReaderDep
from api.compute.common import empty
from api.compute.links import add_next, links
from api.compute.microversion import Version, versions
from api.compute.paging import flag, page, whole_number
from api.compute.wire import Boolean, Integer, Name, Versions, Wire, body
from api.deps import ServicesDep
from infra.db import flavors
from infra.domain.errors import BadRequest
from infra.domain.flavor import Flavor

router = APIRouter()
_MOST = 2**31 - 1
_LONG_TEXT = 65535


class NewFlavor(Wire):
    name: Name
    id: (
        Annotated[str, Field(pattern=r"^[a-zA-Z0-9. _\-]{1,255}\z")] | Annotated[int, Field(ge=-_MOST, le=_MOST)] | None
    ) = None
    ram: Annotated[Integer, Field(ge=1, le=_MOST)]
    vcpus: Annotated[Integer, Field(ge=1, le=_MOST)]
    disk: Annotated[Integer, Field(ge=0, le=_MOST)]
    ephemeral: Annotated[Integer, Field(alias="OS-FLV-EXT-DATA:ephemeral", ge=0, le=_MOST)] = 0
    swap: Annotated[Integer, Field(ge=0, le=_MOST)] = 0
    rxtx_factor: Annotated[float, Field(strict=False, gt=0, lt=3.4e38)] = 1.0
    is_public: Annotated[Boolean, Field(alias="os-flavor-access:is_public")] = True
    description: Annotated[Annotated[str, Field(max_length=_LONG_TEXT)] | None, Versions(55)] = None


class NewFlavorRequest(Wire):
    flavor: NewFlavor


class FlavorDescription(Wire):
    description: Annotated[str, Field(max_length=_LONG_TEXT)] | None


class FlavorDescriptionRequest(Wire):
    flavor: FlavorDescription


def view(flavor: Flavor, version: int, base: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": flavor.id,
        "name": flavor.name,
        "ram": flavor.ram_mb,
        "disk": flavor.disk_gb,
        "vcpus": flavor.vcpus,
        "swap": flavor.swap_mb or (0 if version >= 75 else ""),
        "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral_gb,
        "OS-FLV-DISABLED:disabled": flavor.disabled,
        "os-flavor-access:is_public": flavor.is_public,
        "rxtx_factor": flavor.rxtx_factor,
        "links": links(base, "flavors", flavor.id),
    }
    if version >= 55:
        shown["description"] = flavor.description
    if version >= 61:
        shown["extra_specs"] = flavor.extra_specs
    return shown


def _brief(flavor: Flavor, version: int, base: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": flavor.id,
        "name": flavor.name,
        "links": links(base, "flavors", flavor.id),
    }
    if version >= 55:
        shown["description"] = flavor.description
    return shown


async def _list(request: Request, context: Context, found: ServicesDep) -> list[Flavor]:
    query, asked = request.query_params, page(request.query_params)
    key, direction = query.get("sort_key", "flavorid"), query.get("sort_dir", "asc")
    if key not in flavors.SORT_KEYS or direction not in ("asc", "desc"):
        raise BadRequest("Invalid sort_key or sort_dir.")
    # Only administrators see private flavors of others: "None" shows both kinds, nothing at all the public ones.
    public: bool | None = True
    if context.is_admin:
        public = None if query.get("is_public", "").lower() == "none" else flag(query, "is_public")
        public = True if public is None and "is_public" not in query else public
    return await found.db.read(
        flavors.list_flavors,
        is_public=public if context.is_admin else None,
        project_id=context.identity.project_id,
        any_project=context.is_admin,
        min_disk=whole_number(query, "minDisk") or 0,
        min_ram=whole_number(query, "minRam") or 0,
        sort_key=key,
        descending=direction == "desc",
        limit=asked.limit,
        marker=asked.marker,
    )


@router.get("/flavors")
async def list_brief(request: Request, context: ReaderDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    base = found.settings.api_url
    shown = [_brief(flavor, version, base) for flavor in await _list(request, context, found)]
    return add_next({"flavors": shown}, "flavors", base, "flavors", request.query_params, shown)


@router.get("/flavors/detail")
async def list_detail(request: Request, context: ReaderDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    base = found.settings.api_url
    shown = [view(flavor, version, base) for flavor in await _list(request, context, found)]
    return add_next({"flavors": shown}, "flavors", base, "flavors/detail", request.query_params, shown)


@router.get("/flavors/{flavor_id}")
async def show(flavor_id: str, context: ReaderDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    flavor = await found.db.read(
        flavors.get, flavor_id, project_id=context.identity.project_id, any_project=context.is_admin
    )
    return {"flavor": view(flavor, version, found.settings.api_url)}


@router.post("/flavors")
async def create(
    context: AdminDep, wanted: Annotated[NewFlavorRequest, body(NewFlavorRequest)], found: ServicesDep, version: Version
) -> dict[str, Any]:
    new = wanted.flavor
    flavor_id = str(new.id).strip() if new.id is not None and str(new.id) != "auto" else str(uuid.uuid4())
    made = Flavor(
        id=flavor_id or str(uuid.uuid4()),
        name=new.name,
        vcpus=new.vcpus,
        ram_mb=new.ram,
        disk_gb=new.disk,
        ephemeral_gb=new.ephemeral,
        swap_mb=new.swap,
        rxtx_factor=new.rxtx_factor,
        is_public=new.is_public,
        description=new.description,
    )
    await found.db.write(flavors.create, made)
    return {"flavor": view(made, version, found.settings.api_url)}


@router.put("/flavors/{flavor_id}", dependencies=[versions(55)])
async def update(
    flavor_id: str,
    context: AdminDep,
    wanted: Annotated[FlavorDescriptionRequest, body(FlavorDescriptionRequest)],
    found: ServicesDep,
    version: Version,
) -> dict[str, Any]:
    changed = await found.db.write(flavors.set_description, flavor_id, wanted.flavor.description)
    return {"flavor": view(changed, version, found.settings.api_url)}


@router.delete("/flavors/{flavor_id}", status_code=202)
async def delete(flavor_id: str, context: AdminDep, found: ServicesDep) -> Response:
    await found.db.write(flavors.delete, flavor_id)
    return empty(202)
