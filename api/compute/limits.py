"""``/limits``: what the project may have, and has (Compute API reference, "Limits")."""

from typing import Any

from fastapi import APIRouter, Request
from sqlmodel import Session

from api.auth import ReaderDep
from api.compute.microversion import Version
from api.deps import ServicesDep
from infra.db import groups, quotas
from infra.domain.errors import Forbidden
from infra.domain.quota import UNLIMITED, Quota, Usage

router = APIRouter()
# What only nova-network and file injection had, and what the first versions show all the same.
NETWORK_LIMITS = {
    "maxTotalFloatingIps": UNLIMITED,
    "totalFloatingIpsUsed": 0,
    "maxSecurityGroups": UNLIMITED,
    "totalSecurityGroupsUsed": 0,
    "maxSecurityGroupRules": UNLIMITED,
}
_FILE_LIMITS = {"maxPersonality": 0, "maxPersonalitySize": 0}


def used(session: Session, project_id: str) -> Usage:
    count = len(groups.list_all(session, project_id=project_id))
    return quotas.usage(session, project_id).model_copy(update={"server_groups": count})


def _read(session: Session, project_id: str) -> tuple[Quota, Usage]:
    return quotas.get(session, project_id), used(session, project_id)


@router.get("/limits")
async def show(request: Request, context: ReaderDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    project = request.query_params.get("tenant_id") or context.project_id
    if not context.sees(project):
        raise Forbidden("Policy doesn't allow os_compute_api:limits:other_project to be performed.")
    quota, usage = await found.db.read(_read, project)
    absolute = {
        "maxTotalInstances": quota.instances,
        "totalInstancesUsed": usage.instances,
        "maxTotalCores": quota.cores,
        "totalCoresUsed": usage.cores,
        "maxTotalRAMSize": quota.ram,
        "totalRAMUsed": usage.ram,
        "maxServerMeta": quota.metadata_items,
        "maxTotalKeypairs": quota.key_pairs,
        "maxServerGroups": quota.server_groups,
        "totalServerGroupsUsed": usage.server_groups,
        "maxServerGroupMembers": quota.server_group_members,
    }
    if version < 36:
        absolute |= NETWORK_LIMITS
    if version < 39:
        absolute["maxImageMeta"] = quota.metadata_items
    if version < 57:
        absolute |= _FILE_LIMITS
    return {"limits": {"rate": [], "absolute": absolute}}
