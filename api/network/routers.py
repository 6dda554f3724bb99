"""``/v2.0/routers``."""

import uuid
from collections.abc import Callable, Iterable

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sqlmodel import Session

from api.auth import Context, MemberDep, ReaderDep
from api.deps import Services, ServicesDep
from api.network import body as bodies
from api.network import policy, query, views
from api.network.context import changing, quota_of
from api.network.router_schemas import MAX_ROUTES, ExtraRoutes, Interface, RouterCreate, RouterUpdate
from infra.db import networks, ports, router_interfaces, routers, subnets
from infra.db.tables.routing import RouterRow
from infra.db.types import now
from infra.domain.errors import BadRequest
from infra.domain.network import HostRoute
from infra.domain.router import GatewayWish, Router, RouterInterface

router = APIRouter(prefix="/v2.0/routers")
FILTERS = {**query.filters(booleans=("admin_state_up",)), **query.TAGS}


@router.get("")
async def index(ctx: ReaderDep, found: ServicesDep, request: Request) -> Response:
    listing = query.read(request, FILTERS, policy.visible_to(ctx))
    shown = await found.db.read(routers.find, listing.selection)
    return query.answer(request, found, "routers", [views.router(it) for it in shown], listing)


@router.get("/{router_id}")
async def show(router_id: str, ctx: ReaderDep, found: ServicesDep, request: Request) -> Response:
    it = await found.db.read(routers.get, router_id)
    policy.see_router(ctx, it)
    return JSONResponse({"router": query.only(views.router(it), query.fields(request))})


@router.post("")
async def create(ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    wanted, bulk = bodies.several(body, "router", "routers", RouterCreate)
    time, new = now(), []
    for each in wanted:
        values = each.given()
        gateway = values.pop("gateway", None)
        project = policy.project_for(ctx, each.project_id, each.tenant_id)
        router_id = str(uuid.uuid4())
        new.append((Router(id=router_id, project_id=project, created_at=time, updated_at=time, **values), gateway))

    def work(session: Session) -> list[Router]:
        for _, gateway in new:
            _may_connect(session, ctx, gateway, "create_router")
        return [routers.create(session, it, gateway, quota_of(found)) for it, gateway in new]

    made = [views.router(it) for it in await changing(ctx, found, work)]
    return JSONResponse({"routers": made} if bulk else {"router": made[0]}, 201)


@router.put("/{router_id}")
async def update(router_id: str, ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    changes = bodies.one(body, "router", RouterUpdate).given()

    def work(session: Session) -> Router:
        policy.see_router(ctx, routers.get(session, router_id))
        _may_connect(session, ctx, changes.get("gateway"), "update_router")
        return routers.update(session, router_id, changes)

    return JSONResponse({"router": views.router(await changing(ctx, found, work))})


@router.delete("/{router_id}")
async def delete(router_id: str, ctx: MemberDep, found: ServicesDep) -> Response:
    def work(session: Session) -> None:
        policy.see_router(ctx, routers.get(session, router_id))
        routers.delete(session, router_id)

    await changing(ctx, found, work)
    return Response(status_code=204)


@router.put("/{router_id}/add_router_interface")
async def add_interface(router_id: str, ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    wanted = bodies.whole(body, Interface)
    if wanted.subnet_id and wanted.port_id:
        raise _refused("Cannot specify both subnet-id and port-id")

    def change(session: Session, row: RouterRow) -> RouterInterface:
        if wanted.port_id is not None:
            port = ports.get(session, wanted.port_id)
            policy.see_port(ctx, port, networks.get_bare(session, port.network_id))
            if not policy.owns(ctx, port.project_id):
                raise policy.forbidden("add_router_interface")
            return router_interfaces.add_by_port(session, row, port.id)
        assert wanted.subnet_id is not None
        subnet = subnets.get(session, wanted.subnet_id)
        network = networks.get_bare(session, subnet.network_id)
        # Of a network that is shared, the gateway address is its owner's to give.
        policy.change_subnet(ctx, subnet, network, "add_router_interface")
        return router_interfaces.add_by_subnet(session, row, subnet.id, quota_of(found))

    return await _interface(router_id, ctx, found, wanted, change)


@router.put("/{router_id}/remove_router_interface")
async def remove_interface(router_id: str, ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    wanted = bodies.whole(body, Interface)

    def change(session: Session, row: RouterRow) -> RouterInterface:
        return router_interfaces.remove(session, row, wanted.port_id, wanted.subnet_id)

    return await _interface(router_id, ctx, found, wanted, change)


@router.put("/{router_id}/add_extraroutes")
async def add_routes(router_id: str, ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    """Those that are there already stay."""
    wanted = bodies.one(body, "router", ExtraRoutes).all()
    return await _routes(router_id, ctx, found, lambda before: dict.fromkeys((*before, *wanted)))


@router.put("/{router_id}/remove_extraroutes")
async def remove_routes(router_id: str, ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    """Those that are not there are no matter."""
    wanted = bodies.one(body, "router", ExtraRoutes).all()
    return await _routes(router_id, ctx, found, lambda before: [route for route in before if route not in wanted])


async def _routes(
    router_id: str,
    ctx: Context,
    services: Services,
    change: Callable[[tuple[HostRoute, ...]], Iterable[HostRoute]],
) -> Response:
    def work(session: Session) -> Router:
        routers.row_of(session, router_id, lock=True)
        before = routers.get(session, router_id)
        policy.see_router(ctx, before)
        after = tuple(change(before.routes))
        if len(after) > MAX_ROUTES:
            message = f"Unable to add route on {router_id}: the maximum of {MAX_ROUTES} routes is exceeded."
            raise BadRequest(message, kind="RoutesExhausted")
        return routers.update(session, router_id, {"routes": after})

    return JSONResponse({"router": views.router(await changing(ctx, services, work))})


async def _interface(
    router_id: str,
    ctx: Context,
    services: Services,
    wanted: Interface,
    change: Callable[[Session, RouterRow], RouterInterface],
) -> Response:
    if not (wanted.subnet_id or wanted.port_id):
        raise _refused("Either subnet_id or port_id must be specified")

    def work(session: Session) -> RouterInterface:
        policy.see_router(ctx, routers.get(session, router_id))
        return change(session, routers.row_of(session, router_id, lock=True))

    return JSONResponse(views.router_interface(await changing(ctx, services, work)))


def _may_connect(session: Session, ctx: Context, gateway: GatewayWish | None, action: str) -> None:
    if gateway is None:
        return
    policy.see_network(ctx, networks.get_bare(session, gateway.network_id))
    names = [name for name in ("enable_snat", "external_fixed_ips") if getattr(gateway, name) is not None]
    policy.admin_attributes(ctx, f"{action}:external_gateway_info", names)


def _refused(why: str) -> BadRequest:
    return BadRequest(f"Bad router request: {why}.", kind="BadRequest")
