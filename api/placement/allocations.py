"""``/allocations``, ``/allocation_candidates`` and ``/usages`` (Placement API reference). Consumers are servers."""

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from api.auth import AdminDep, ReaderDep
from api.deps import ServicesDep
from api.placement import groups, query, views
from api.placement.microversion import Version, since
from infra.db import aggregates, claims, hosts, servers
from infra.domain.errors import BadRequest, Conflict, Forbidden, NotFound
from infra.domain.host import Claim, Host
from infra.domain.server import Server

router = APIRouter()


@router.get("/allocation_candidates")
async def candidates(request: Request, found: ServicesDep, context: AdminDep, version: Version) -> dict[str, Any]:
    since(version, 10)
    wanted = groups.read(request, version)
    memberships = query.memberships(await found.db.read(aggregates.list_all))
    selected = [
        host
        for host in await found.db.read(hosts.snapshot)
        if wanted.selects(host, memberships.get(host.name, frozenset()))
    ][: wanted.limit]
    return {
        "allocation_requests": [
            views.candidate(host, wanted.resources, list(wanted.groups), version) for host in selected
        ],
        "provider_summaries": {host.id: views.summary(host, version) for host in selected},
    }


@router.get("/allocations/{consumer}")
async def show(consumer: str, found: ServicesDep, context: AdminDep, version: Version) -> dict[str, Any]:
    held, providers, server = await found.db.read(_consumer, consumer)
    shown: dict[str, Any] = {}
    for name, host in providers.items():
        own = [claim for claim in held if claim.host == name]
        shown[host.id] = {"generation": host.generation, "resources": views.amounts(own)}
    answer: dict[str, Any] = {"allocations": shown}
    if held and server is not None and version >= 12:
        answer |= {"project_id": server.project_id, "user_id": server.user_id}
    if held and version >= 28:
        answer["consumer_generation"] = max(claim.attempt for claim in held)
    if held and version >= 38:
        answer["consumer_type"] = "INSTANCE"
    return answer


@router.delete("/allocations/{consumer}")
async def delete(consumer: str, found: ServicesDep, context: AdminDep, version: Version) -> Response:
    """Give back what a server that is gone still holds: the operator vouches that its guest runs nowhere."""
    await found.db.write(_release, consumer)
    return Response(status_code=204)


@router.get("/usages")
async def usages(request: Request, found: ServicesDep, context: ReaderDep, version: Version) -> dict[str, Any]:
    since(version, 9)
    parameters = request.query_params
    project_id = parameters.get("project_id")
    if project_id is None:
        raise BadRequest("Invalid query string parameters: 'project_id' is a required property")
    if not context.sees(project_id):
        raise Forbidden("Only the usages of the token's own project can be shown.")
    held = await found.db.read(claims.of_project, project_id, parameters.get("user_id"))
    if version < 38:
        return {"usages": views.amounts(held)}
    count = len({claim.server_id for claim in held})
    return {"usages": {"INSTANCE": {"consumer_count": count, **views.amounts(held)}} if held else {}}


def _consumer(session: Session, consumer: str) -> tuple[list[Claim], dict[str, Host], Server | None]:
    held = claims.of_server(session, consumer)
    providers = {host.name: host for host in hosts.snapshot(session, {claim.host for claim in held})}
    return held, providers, _server(session, consumer)


def _release(session: Session, consumer: str) -> None:
    held = claims.of_server(session, consumer)
    if not held:
        raise NotFound(f"No allocations for consumer '{consumer}'")
    if _server(session, consumer) is not None and not all(claim.quarantined for claim in held):
        raise Conflict(f"Server {consumer} still exists: delete the server, and its allocations go with it.")
    for claim in held:
        claims.release(session, consumer, claim.attempt)


def _server(session: Session, id: str) -> Server | None:
    try:
        return servers.get(session, id)
    except NotFound:
        return None
