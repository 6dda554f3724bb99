"""``/resource_providers`` (Placement API reference). Providers are the compute hosts: they enrol themselves."""

from typing import Any

from fastapi import APIRouter, Request

from api.deps import ServicesDep
from api.placement import query, views
from api.placement.microversion import Version, since
from infra.db import aggregates, claims, hosts
from infra.domain.errors import NotFound
from infra.domain.host import Claim, Host

router = APIRouter(prefix="/resource_providers")
# The first version that knows each filter.
_FILTERS = {"name": 0, "uuid": 0, "member_of": 3, "resources": 4, "in_tree": 14, "required": 18}


@router.get("")
async def listing(request: Request, found: ServicesDep, version: Version) -> dict[str, Any]:
    wanted = query.read(request, [name for name, first in _FILTERS.items() if version >= first])
    memberships = query.memberships(await found.db.read(aggregates.list_all))
    selected = [
        host
        for host in await found.db.read(hosts.snapshot)
        if wanted.selects(host, memberships.get(host.name, frozenset()))
    ]
    return {"resource_providers": [views.provider(_base(found), host, version) for host in selected]}


@router.get("/{uuid}")
async def show(uuid: str, found: ServicesDep, version: Version) -> dict[str, Any]:
    return views.provider(_base(found), await get_host(found, uuid), version)


@router.get("/{uuid}/usages")
async def usages(uuid: str, found: ServicesDep, version: Version) -> dict[str, Any]:
    host = await get_host(found, uuid)
    return {"resource_provider_generation": host.generation, "usages": views.usages(host)}


@router.get("/{uuid}/aggregates")
async def members(uuid: str, found: ServicesDep, version: Version) -> dict[str, Any]:
    since(version, 1)
    host = await get_host(found, uuid)
    memberships = query.memberships(await found.db.read(aggregates.list_all))
    shown: dict[str, Any] = {"aggregates": sorted(memberships.get(host.name, ()))}
    return shown if version < 19 else shown | {"resource_provider_generation": host.generation}


@router.get("/{uuid}/traits")
async def traits(uuid: str, found: ServicesDep, version: Version) -> dict[str, Any]:
    since(version, 6)
    host = await get_host(found, uuid)
    return {"resource_provider_generation": host.generation, "traits": sorted(query.traits(host))}


@router.get("/{uuid}/allocations")
async def allocations(uuid: str, found: ServicesDep, version: Version) -> dict[str, Any]:
    host = await get_host(found, uuid)
    by_server: dict[str, list[Claim]] = {}
    for claim in await found.db.read(claims.of_host, host.name):
        by_server.setdefault(claim.server_id, []).append(claim)
    shown: dict[str, Any] = {server: {"resources": views.amounts(held)} for server, held in by_server.items()}
    if version >= 28:
        for server, held in by_server.items():
            shown[server]["consumer_generation"] = max(claim.attempt for claim in held)
    return {"resource_provider_generation": host.generation, "allocations": shown}


async def get_host(found: ServicesDep, uuid: str) -> Host:
    """Raises NotFound, as the Placement API words it."""
    try:
        return await found.db.read(hosts.get_by_id, uuid)
    except NotFound as error:
        raise NotFound(f"No resource provider with uuid {uuid} found") from error


def _base(found: ServicesDep) -> str:
    # As in Placement, links are paths: clients put them behind the catalog's address.
    return "/placement"
