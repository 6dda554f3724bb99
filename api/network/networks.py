"""``/v2.0/networks``."""

import uuid
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sqlmodel import Session

from api.auth import Context, MemberDep, ReaderDep
from api.deps import Services, ServicesDep
from api.network import body as bodies
from api.network import policy, query, views
from api.network.context import changing, quota_of
from api.network.schemas import ZONE, NetworkCreate, NetworkUpdate
from infra.db import networks
from infra.db.types import now
from infra.domain.errors import BadRequest, NotFound
from infra.domain.network import Network

router = APIRouter(prefix="/v2.0/networks")
_ADMIN = {"shared": "shared", "external": "router:external"}
_PROVIDER = {
    "vni": "provider:segmentation_id",
    "network_type": "provider:network_type",
    "physical_network": "provider:physical_network",
}
FILTERS = {
    **query.filters(
        text=("status", "network_type", "physical_network"),
        booleans=("admin_state_up", "shared", "external", "port_security_enabled"),
        numbers=("mtu", "vni"),
        external="router:external",
        **_PROVIDER,
    ),
    **query.TAGS,
}


@router.get("")
async def index(ctx: ReaderDep, found: ServicesDep, request: Request) -> Response:
    listing = query.read(request, FILTERS, policy.visible_to(ctx))
    shown = await found.db.read(networks.find, listing.selection)
    return query.answer(request, found, "networks", [views.network(it, ctx) for it in shown], listing)


@router.get("/{network_id}")
async def show(network_id: str, ctx: ReaderDep, found: ServicesDep, request: Request) -> Response:
    it = await found.db.read(networks.get, network_id)
    policy.see_network(ctx, it)
    return JSONResponse({"network": query.only(views.network(it, ctx), query.fields(request))})


@router.post("")
async def create(ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    wanted, bulk = bodies.several(body, "network", "networks", NetworkCreate)
    new = [_new(ctx, found, each) for each in wanted]

    def work(session: Session) -> list[Network]:
        return [
            networks.create(session, network, quota_of(found), vni=each.vni)
            for network, each in zip(new, wanted, strict=True)
        ]

    made = [views.network(it, ctx) for it in await changing(ctx, found, work)]
    return JSONResponse({"networks": made} if bulk else {"network": made[0]}, 201)


@router.put("/{network_id}")
async def update(network_id: str, ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    changes = bodies.one(body, "network", NetworkUpdate).given()

    def work(session: Session) -> Network:
        before = networks.get(session, network_id)
        policy.change_network(ctx, before, "update_network")
        set_by_admins = [
            wire for name, wire in _ADMIN.items() if changes.get(name, getattr(before, name)) != getattr(before, name)
        ]
        policy.admin_attributes(ctx, "update_network", set_by_admins)
        _check_mtu(found, changes)
        return networks.update(session, network_id, changes)

    return JSONResponse({"network": views.network(await changing(ctx, found, work), ctx)})


@router.delete("/{network_id}")
async def delete(network_id: str, ctx: MemberDep, found: ServicesDep) -> Response:
    def work(session: Session) -> None:
        policy.change_network(ctx, networks.get(session, network_id), "delete_network")
        networks.delete(session, network_id)

    await changing(ctx, found, work)
    return Response(status_code=204)


def _new(ctx: Context, services: Services, wanted: NetworkCreate) -> Network:
    """The network as asked for; its VNI is drawn when it is stored."""
    values = wanted.given()
    admin = [wire for name, wire in _ADMIN.items() if values.get(name)]
    admin += [wire for name, wire in _PROVIDER.items() if values.pop(name, None) is not None]
    policy.admin_attributes(ctx, "create_network", admin)
    if wanted.network_type not in (None, "vxlan"):
        raise BadRequest("Invalid input for operation: provider:network_type must be vxlan.", kind="InvalidInput")
    if wanted.physical_network is not None:
        message = "Invalid input for operation: provider:physical_network specified for vxlan network."
        raise BadRequest(message, kind="InvalidInput")
    for zone in wanted.availability_zone_hints:
        if zone != ZONE:
            raise NotFound(f"AvailabilityZone {zone} could not be found.", kind="AvailabilityZoneNotFound")
    _check_mtu(services, values)
    time = now()
    return Network(
        id=str(uuid.uuid4()),
        project_id=policy.project_for(ctx, wanted.project_id, wanted.tenant_id),
        vni=wanted.vni or 0,
        created_at=time,
        updated_at=time,
        **{"mtu": services.settings.network.mtu, **values},
    )


def _check_mtu(services: Services, values: dict[str, Any]) -> None:
    if values.get("mtu") == 0:
        values["mtu"] = services.settings.network.mtu
    if not 68 <= values.get("mtu", 68) <= services.settings.network.mtu:
        limit = services.settings.network.mtu
        raise BadRequest(f"Invalid input for operation: mtu must be 68 to {limit}.", kind="InvalidInput")
