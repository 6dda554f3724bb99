"""``/os-quota-sets`` (Compute API reference, "Quota sets")."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from api.auth import AdminDep, Context, ReaderDep
from api.compute.common import empty
from api.compute.limits import used
from api.compute.microversion import Version
from api.compute.wire import Boolean, Integer, Versions, Wire, body
from api.deps import ServicesDep
from infra.db import quotas
from infra.domain.errors import BadRequest, Forbidden
from infra.domain.quota import UNLIMITED, Quota

router = APIRouter()
Amount = Annotated[Integer, Field(ge=UNLIMITED, le=2**31 - 1)]
_GONE_36 = ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")
_GONE_57 = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")
_COUNTED = ("instances", "cores", "ram")


class QuotaSet(Wire):
    instances: Amount | None = None
    cores: Amount | None = None
    ram: Amount | None = None
    metadata_items: Amount | None = None
    key_pairs: Amount | None = None
    server_groups: Amount | None = None
    server_group_members: Amount | None = None
    force: Boolean = False
    tenant_id: str | None = None
    fixed_ips: Annotated[Amount | None, Versions(last=35)] = None
    floating_ips: Annotated[Amount | None, Versions(last=35)] = None
    security_groups: Annotated[Amount | None, Versions(last=35)] = None
    security_group_rules: Annotated[Amount | None, Versions(last=35)] = None
    injected_files: Annotated[Amount | None, Versions(last=56)] = None
    injected_file_content_bytes: Annotated[Amount | None, Versions(last=56)] = None
    injected_file_path_bytes: Annotated[Amount | None, Versions(last=56)] = None


class QuotaSetRequest(Wire):
    quota_set: QuotaSet


def _shown(quota: Quota, version: int) -> dict[str, int]:
    shown = quota.model_dump()
    if version < 36:
        shown |= dict.fromkeys(_GONE_36, UNLIMITED)
    if version < 57:
        shown |= dict.fromkeys(_GONE_57, 0)
    return shown


def _may_see(context: Context, project_id: str) -> None:
    if not context.sees(project_id):
        raise Forbidden("Policy doesn't allow os_compute_api:os-quota-sets:show to be performed.")


@router.get("/os-quota-sets/{project_id}")
async def show(project_id: str, context: ReaderDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    _may_see(context, project_id)
    quota = await found.db.read(quotas.get, project_id)
    return {"quota_set": {"id": project_id} | _shown(quota, version)}


@router.get("/os-quota-sets/{project_id}/defaults")
async def defaults(project_id: str, context: ReaderDep, version: Version) -> dict[str, Any]:
    return {"quota_set": {"id": project_id} | _shown(Quota(), version)}


@router.get("/os-quota-sets/{project_id}/detail")
async def detail(project_id: str, context: ReaderDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    _may_see(context, project_id)
    limits = _shown(await found.db.read(quotas.get, project_id), version)
    usage = (await found.db.read(used, project_id)).model_dump()
    counted = {name: {"limit": limit, "in_use": usage.get(name, 0), "reserved": 0} for name, limit in limits.items()}
    return {"quota_set": {"id": project_id} | counted}


@router.put("/os-quota-sets/{project_id}")
async def update(
    project_id: str,
    context: AdminDep,
    wanted: Annotated[QuotaSetRequest, body(QuotaSetRequest)],
    found: ServicesDep,
    version: Version,
) -> dict[str, Any]:
    """Limits of what Kilonova doesn't have are taken and have no effect, as in Nova."""
    asked = wanted.quota_set.model_dump(exclude_none=True)
    limits = {name: asked[name] for name in Quota.model_fields if name in asked}
    usage = (await found.db.read(used, project_id)).model_dump()
    for name in _COUNTED:
        if not wanted.quota_set.force and 0 <= limits.get(name, UNLIMITED) < usage[name]:
            raise BadRequest(f"Quota limit {limits[name]} for {name} must be greater than or equal to {usage[name]}.")
    quota = await found.db.write(quotas.put, project_id, limits)
    return {"quota_set": _shown(quota, version)}


@router.delete("/os-quota-sets/{project_id}", status_code=202)
async def reset(project_id: str, context: AdminDep, found: ServicesDep) -> Response:
    await found.db.write(quotas.reset, project_id)
    return empty(202)
