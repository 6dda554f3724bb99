"""``/resource_classes`` and ``/traits``: the names there are (Placement API reference)."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.deps import ServicesDep
from api.placement.microversion import Version, since
from api.placement.query import DISABLED, traits
from infra.db import hosts
from infra.domain.errors import BadRequest, NotFound
from infra.domain.inventory import CLASSES

router = APIRouter()


@router.get("/resource_classes")
async def classes(found: ServicesDep, version: Version) -> dict[str, Any]:
    since(version, 2)
    return {"resource_classes": [_class(name) for name in await _classes(found)]}


@router.get("/resource_classes/{name}")
async def one_class(name: str, found: ServicesDep, version: Version) -> dict[str, Any]:
    since(version, 2)
    if name not in await _classes(found):
        raise NotFound(f"No such resource class: {name}.")
    return _class(name)


@router.get("/traits")
async def every_trait(request: Request, found: ServicesDep, version: Version) -> dict[str, Any]:
    since(version, 6)
    wanted = request.query_params.get("name", "")
    names = await _traits(found)
    if request.query_params.get("associated", "false").lower() not in ("true", "1"):
        names |= {DISABLED}
    if wanted.startswith("in:"):
        names &= set(wanted.removeprefix("in:").split(","))
    elif wanted.startswith("startswith:"):
        names = {name for name in names if name.startswith(wanted.removeprefix("startswith:"))}
    elif wanted:
        raise BadRequest("Badly formatted name parameter. Expected name=in:T1,T2 or name=startswith:PREFIX.")
    return {"traits": sorted(names)}


@router.get("/traits/{name}")
async def one_trait(name: str, found: ServicesDep, version: Version) -> Response:
    since(version, 6)
    if name not in await _traits(found) | {DISABLED}:
        raise NotFound(f"No such trait: {name}.")
    return Response(status_code=204, headers={"openstack-api-version": f"placement 1.{version}"})


def _class(name: str) -> dict[str, Any]:
    return {"name": name, "links": [{"rel": "self", "href": f"/placement/resource_classes/{name}"}]}


async def _classes(found: ServicesDep) -> list[str]:
    """Those that every host may have, and then those of PCI devices that some have."""
    own = {name for host in await found.db.read(hosts.snapshot) for name in host.inventories}
    return [*CLASSES, *sorted(own.difference(CLASSES))]


async def _traits(found: ServicesDep) -> set[str]:
    return {trait for host in await found.db.read(hosts.snapshot) for trait in traits(host)}
