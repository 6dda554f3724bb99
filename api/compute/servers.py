"""``/servers``: make, list, show, change and delete servers (Compute API reference, "Servers")."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlmodel import Session
from starlette.datastructures import QueryParams

from api import start
from api.auth import MemberDep, ReaderDep
from api.compute import boot_request
from api.compute.common import ChangeableServer, ReadableServer, empty, surroundings_of
from api.compute.links import add_next, links
from api.compute.microversion import Version
from api.compute.paging import page
from api.compute.prechecks import precheck
from api.compute.schemas.servers import CreateServerRequest, UpdateServerRequest
from api.compute.server_filter import ServerFilter, server_filter
from api.compute.surroundings import Surroundings, gather
from api.compute.views import server as view
from api.compute.wire import body
from api.deps import ServicesDep
from infra.db import boot_queue, server_details
from infra.db.server_details import Candidate
from infra.domain.server import Server

router = APIRouter()


@router.post("/servers", status_code=202)
async def create(
    request: Request,
    context: MemberDep,
    wanted: Annotated[CreateServerRequest, body(CreateServerRequest)],
    found: ServicesDep,
) -> Response:
    """Answers as soon as the request is durable and the row is there; raises what refuses it.

    A client that sends an ``Idempotency-Key`` may repeat the request: it gets the server of the first one.
    """
    spec = boot_request.server_spec(wanted, context, found.settings)
    key = boot_request.idempotency_key(request.headers.get("idempotency-key"))
    project_id, turns = context.project_id, found.admissions
    ahead = boot_queue.Ahead(own=turns.waiting(project_id), all=turns.waiting())
    await found.db.read(boot_queue.check, found.settings.limits, project_id, spec.min_count, ahead)
    async with turns.of(project_id):
        if key is None:
            # A repeat must not be refused for what its own server holds; admission knows one from the other.
            await found.db.read(precheck, spec, context, found.settings.scheduler.pci_alias)
        booted = await start.boot(found, context, spec, idempotency_key=key)
    if wanted.server.return_reservation_id:
        return JSONResponse({"reservation_id": booted.reservation_id}, 202)
    server_id, base = booted.server_ids[0], found.settings.api_url
    own_links = links(base, "servers", server_id)
    made = {
        "id": server_id,
        "links": own_links,
        "OS-DCF:diskConfig": spec.disk_config,
        "security_groups": [{"name": name} for name in spec.security_groups or ("default",)],
        "adminPass": spec.admin_password,
    }
    return JSONResponse({"server": made}, 202, {"Location": own_links[0]["href"]})


@router.get("/servers")
async def list_brief(request: Request, context: ReaderDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    wanted = server_filter(request.query_params, context, version)
    servers, _ = await found.db.read(_find, request.query_params, wanted)
    shown = [view.brief(server, found.settings) for server in servers]
    return add_next({"servers": shown}, "servers", found.settings.api_url, "servers", request.query_params, shown)


@router.get("/servers/detail")
async def list_detail(request: Request, context: ReaderDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    wanted = server_filter(request.query_params, context, version)
    servers, around = await found.db.read(_find, request.query_params, wanted, around=True)
    shown = [view.detail(server, around[server.id], context, version, found.settings, one=False) for server in servers]
    base = found.settings.api_url
    return add_next({"servers": shown}, "servers", base, "servers/detail", request.query_params, shown)


@router.get("/servers/{server_id}")
async def show(server: ReadableServer, context: ReaderDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    around = await found.db.read(surroundings_of, server)
    return {"server": view.detail(server, around, context, version, found.settings)}


@router.put("/servers/{server_id}")
async def update(
    server: ChangeableServer,
    context: MemberDep,
    wanted: Annotated[UpdateServerRequest, body(UpdateServerRequest)],
    found: ServicesDep,
    version: Version,
) -> dict[str, Any]:
    changes = wanted.server.model_dump(include=wanted.server.model_fields_set)
    changed, around = await found.db.write(_update, server.id, changes)
    return {"server": view.after_update(changed, around, context, version, found.settings)}


@router.delete("/servers/{server_id}", status_code=204)
async def delete(server: ChangeableServer, context: MemberDep, found: ServicesDep) -> Response:
    """At any time, during the boot too."""
    async with found.admissions.of(context.project_id, ahead=True):
        await start.delete(found, context, server)
    return empty(204)


def _find(
    session: Session, query: QueryParams, wanted: ServerFilter, *, around: bool = False
) -> tuple[list[Server], dict[str, Surroundings]]:
    asked = page(query)
    if wanted.nothing or asked.limit == 0:
        return [], {}
    candidates = server_details.candidates(session, wanted.where, wanted.order_by)
    keep = wanted.keep
    if wanted.address is not None:
        servers = server_details.read(session, [c.id for c in candidates if wanted.keep(c)])
        matching = {
            id
            for id, own in gather(session, servers).items()
            if any(wanted.address(fixed.ip_address) for port in own.ports for fixed in port.fixed_ips)
        }

        def keep(candidate: Candidate) -> bool:
            return candidate.id in matching

    ids = server_details.page(candidates, keep, limit=asked.limit, marker=asked.marker)
    servers = server_details.read(session, ids)
    return servers, gather(session, servers) if around else {}


def _update(session: Session, server_id: str, changes: dict[str, Any]) -> tuple[Server, Surroundings]:
    server = server_details.update(session, server_id, **changes)
    return server, surroundings_of(session, server)
