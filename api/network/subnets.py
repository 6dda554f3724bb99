"""``/v2.0/subnets``."""

import uuid

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sqlmodel import Session

from api.auth import Context, MemberDep, ReaderDep
from api.deps import ServicesDep
from api.network import body as bodies
from api.network import policy, query, views
from api.network.context import changing, quota_of
from api.network.schemas import SubnetCreate, SubnetUpdate
from infra.db import networks, subnets
from infra.db.types import now
from infra.domain.network import Network, Subnet
from infra.network import ipam

router = APIRouter(prefix="/v2.0/subnets")
FILTERS = {
    **query.filters(
        text=("network_id", "cidr", "gateway_ip"), booleans=("enable_dhcp", "shared"), numbers=("ip_version",)
    ),
    **query.TAGS,
}


@router.get("")
async def index(ctx: ReaderDep, found: ServicesDep, request: Request) -> Response:
    listing = query.read(request, FILTERS, policy.visible_to(ctx))
    shown = await found.db.read(subnets.find, listing.selection)
    return query.answer(request, found, "subnets", [views.subnet(it) for it in shown], listing)


@router.get("/{subnet_id}")
async def show(subnet_id: str, ctx: ReaderDep, found: ServicesDep, request: Request) -> Response:
    it, network = await found.db.read(_with_network, subnet_id)
    policy.see_subnet(ctx, it, network)
    return JSONResponse({"subnet": query.only(views.subnet(it), query.fields(request))})


@router.post("")
async def create(ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    wanted, bulk = bodies.several(body, "subnet", "subnets", SubnetCreate)
    new = [_new(ctx, each) for each in wanted]

    def work(session: Session) -> list[Subnet]:
        for subnet in new:
            policy.change_network(ctx, networks.get_bare(session, subnet.network_id), "create_subnet")
        return [subnets.create(session, subnet, quota_of(found)) for subnet in new]

    made = [views.subnet(it) for it in await changing(ctx, found, work)]
    return JSONResponse({"subnets": made} if bulk else {"subnet": made[0]}, 201)


@router.put("/{subnet_id}")
async def update(subnet_id: str, ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    changes = bodies.one(body, "subnet", SubnetUpdate).given()

    def work(session: Session) -> Subnet:
        policy.change_subnet(ctx, *_with_network(session, subnet_id), "update_subnet")
        return subnets.update(session, subnet_id, changes)

    return JSONResponse({"subnet": views.subnet(await changing(ctx, found, work))})


@router.delete("/{subnet_id}")
async def delete(subnet_id: str, ctx: MemberDep, found: ServicesDep) -> Response:
    def work(session: Session) -> None:
        policy.change_subnet(ctx, *_with_network(session, subnet_id), "delete_subnet")
        subnets.delete(session, subnet_id)

    await changing(ctx, found, work)
    return Response(status_code=204)


def _with_network(session: Session, subnet_id: str) -> tuple[Subnet, Network]:
    it = subnets.get(session, subnet_id)
    return it, networks.get_bare(session, it.network_id)


def _new(ctx: Context, wanted: SubnetCreate) -> Subnet:
    """The subnet as asked for, with gateway and pools filled in."""
    values = wanted.given()
    for name in ("ipv6_address_mode", "ipv6_ra_mode", "subnetpool_id"):
        values.pop(name, None)
    cidr = ipam.network_of(wanted.cidr, wanted.ip_version)
    gateway: str | None = ipam.default_gateway(cidr)
    if "gateway_ip" in values:
        gateway = ipam.check_gateway(cidr, values["gateway_ip"]) if values["gateway_ip"] is not None else None
    pools = ipam.default_pools(cidr, gateway)
    if "allocation_pools" in values:
        pools = ipam.check_pools(cidr, wanted.given()["allocation_pools"], gateway)
    if wanted.enable_dhcp:
        subnets.check_dhcp(cidr)
    time = now()
    derived = {"cidr": str(cidr), "gateway_ip": gateway, "allocation_pools": pools}
    return Subnet(
        id=str(uuid.uuid4()),
        project_id=policy.project_for(ctx, wanted.project_id, wanted.tenant_id),
        created_at=time,
        updated_at=time,
        **{**values, **derived},
    )
