"""``/v2.0/floatingips``."""

import uuid
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sqlmodel import Session

from api.auth import Context, MemberDep, ReaderDep
from api.deps import ServicesDep
from api.network import body as bodies
from api.network import policy, query, views
from api.network.context import changing, quota_of
from api.network.router_schemas import FloatingIpCreate, FloatingIpUpdate
from infra.db import floating_ips, networks, ports
from infra.db.types import now
from infra.domain.errors import BadRequest
from infra.domain.router import FloatingIp

router = APIRouter(prefix="/v2.0/floatingips")
FILTERS: query.Filters = {
    name: known
    for name, known in query.filters(
        text=("floating_network_id", "floating_ip_address", "port_id", "fixed_ip_address", "router_id", "status")
    ).items()
    if name != "name"
} | dict(query.TAGS)


@router.get("")
async def index(ctx: ReaderDep, found: ServicesDep, request: Request) -> Response:
    listing = query.read(request, FILTERS, policy.visible_to(ctx))
    shown = await found.db.read(floating_ips.find, listing.selection)
    return query.answer(request, found, "floatingips", [views.floating_ip(it) for it in shown], listing)


@router.get("/{floating_ip_id}")
async def show(floating_ip_id: str, ctx: ReaderDep, found: ServicesDep, request: Request) -> Response:
    it = await found.db.read(floating_ips.get, floating_ip_id)
    policy.see_floating_ip(ctx, it)
    return JSONResponse({"floatingip": query.only(views.floating_ip(it), query.fields(request))})


@router.post("")
async def create(ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    wanted = bodies.one(body, "floatingip", FloatingIpCreate)
    if wanted.floating_ip_address is not None:
        policy.admin_attributes(ctx, "create_floatingip", ["floating_ip_address"])
    if wanted.fixed_ip_address is not None and wanted.port_id is None:
        raise BadRequest("Bad floatingip request: fixed_ip_address cannot be specified without a port_id.")
    time = now()
    new = FloatingIp(
        id=str(uuid.uuid4()),
        project_id=policy.project_for(ctx, wanted.project_id, wanted.tenant_id),
        created_at=time,
        updated_at=time,
        **wanted.model_dump(exclude={"project_id", "tenant_id", "subnet_id", "floating_ip_address"}),
        floating_ip_address=wanted.floating_ip_address or "",
    )

    def work(session: Session) -> FloatingIp:
        policy.see_network(ctx, networks.get_bare(session, new.floating_network_id))
        _may_lead(session, ctx, new, new.port_id)
        return floating_ips.create(session, new, quota_of(found), subnet_id=wanted.subnet_id)

    return JSONResponse({"floatingip": views.floating_ip(await changing(ctx, found, work))}, 201)


@router.put("/{floating_ip_id}")
async def update(floating_ip_id: str, ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    changes: dict[str, Any] = bodies.one(body, "floatingip", FloatingIpUpdate).given()

    def work(session: Session) -> FloatingIp:
        before = floating_ips.get(session, floating_ip_id)
        policy.see_floating_ip(ctx, before)
        _may_lead(session, ctx, before, changes.get("port_id"))
        return floating_ips.update(session, floating_ip_id, changes)

    return JSONResponse({"floatingip": views.floating_ip(await changing(ctx, found, work))})


@router.delete("/{floating_ip_id}")
async def delete(floating_ip_id: str, ctx: MemberDep, found: ServicesDep) -> Response:
    def work(session: Session) -> None:
        policy.see_floating_ip(ctx, floating_ips.get(session, floating_ip_id))
        floating_ips.delete(session, floating_ip_id)

    await changing(ctx, found, work)
    return Response(status_code=204)


def _may_lead(session: Session, ctx: Context, it: FloatingIp, port_id: str | None) -> None:
    """An administrator leads any floating IP to any port; others theirs to their own."""
    if port_id is None:
        return
    port = ports.get(session, port_id)
    policy.see_port(ctx, port, networks.get_bare(session, port.network_id))
    if port.project_id != it.project_id and not policy.trusted(ctx):
        raise BadRequest(
            f"Bad floatingip request: Port {port_id} is associated with a different tenant than Floating IP {it.id} "
            f"and therefore cannot be bound.",
            kind="BadRequest",
        )
