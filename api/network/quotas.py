"""``/v2.0/quotas``."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from api.auth import AdminDep, Context, ReaderDep
from api.deps import ServicesDep
from api.network import body as bodies
from api.network import policy, views
from api.network.context import quota_of
from api.network.schemas import QuotaUpdate
from infra.db import network_quotas

router = APIRouter(prefix="/v2.0/quotas")


@router.get("")
async def index(ctx: AdminDep, found: ServicesDep) -> Response:
    """Projects with limits of their own."""
    own = await found.db.read(network_quotas.overridden, quota_of(found))
    listed = [{"project_id": project, "tenant_id": project, **views.quota(it)} for project, it in own.items()]
    return JSONResponse({"quotas": listed})


@router.get("/{project_id}")
async def show(project_id: str, ctx: ReaderDep, found: ServicesDep) -> Response:
    _own(ctx, project_id)
    return JSONResponse({"quota": views.quota(await found.db.read(network_quotas.limits, project_id, quota_of(found)))})


@router.get("/{project_id}/default")
@router.get("/{project_id}/defaults")
async def default(project_id: str, ctx: ReaderDep, found: ServicesDep) -> Response:
    _own(ctx, project_id)
    return JSONResponse({"quota": views.quota(quota_of(found))})


@router.get("/{project_id}/details")
@router.get("/{project_id}/details.json")
async def details(project_id: str, ctx: ReaderDep, found: ServicesDep) -> Response:
    _own(ctx, project_id)
    return JSONResponse({"quota": await found.db.read(network_quotas.details, project_id, quota_of(found))})


@router.put("/{project_id}")
async def update(project_id: str, ctx: AdminDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    changes = bodies.one(body, "quota", QuotaUpdate).given()
    made = await found.db.write(network_quotas.set_limits, project_id, changes, quota_of(found))
    return JSONResponse({"quota": views.quota(made)})


@router.delete("/{project_id}")
async def delete(project_id: str, ctx: AdminDep, found: ServicesDep) -> Response:
    await found.db.write(network_quotas.reset, project_id)
    return Response(status_code=204)


def _own(ctx: Context, project_id: str) -> None:
    if not policy.owns(ctx, project_id):
        raise policy.forbidden("get_quota")
