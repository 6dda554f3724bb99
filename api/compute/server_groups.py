"""``/os-server-groups`` (Compute API reference, "Server groups")."""

import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field
from sqlmodel import Session

from api.auth import MemberDep, ReaderDep
from api.compute.common import empty
from api.compute.microversion import Version
from api.compute.paging import flag, whole_number
from api.compute.wire import Integer, Name, Versions, Wire, body
from api.deps import ServicesDep
from infra.db import groups, quotas
from infra.domain.errors import BadRequest, QuotaExceeded
from infra.domain.placement import ServerGroup

router = APIRouter()
_ONE_POLICY = 64
_SOFT = 15
Policy = Literal["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"]


class Rules(Wire):
    max_server_per_host: Annotated[Integer, Field(ge=1, le=2**31 - 1)] | None = None


class NewServerGroup(Wire):
    name: Name
    policies: Annotated[
        Annotated[list[Policy], Field(min_length=1, max_length=1)] | None, Versions(last=_ONE_POLICY - 1)
    ] = None
    policy: Annotated[Policy | None, Versions(_ONE_POLICY)] = None
    rules: Annotated[Rules | None, Versions(_ONE_POLICY)] = None


class NewServerGroupRequest(Wire):
    server_group: NewServerGroup


def _view(group: ServerGroup, version: int) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": group.id, "name": group.name, "members": list(group.members)}
    if version >= 13:
        shown |= {"project_id": group.project_id, "user_id": group.user_id}
    if version < _ONE_POLICY:
        return shown | {"policies": [group.policy], "metadata": {}}
    rules = {"max_server_per_host": group.max_server_per_host} if group.policy == "anti-affinity" else {}
    return shown | {"policy": group.policy, "rules": rules}


@router.get("/os-server-groups")
async def list_all(request: Request, context: ReaderDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    query = request.query_params
    everyone = context.is_admin and flag(query, "all_projects")
    all_groups = await found.db.read(groups.list_all, project_id=None if everyone else context.project_id)
    offset, limit = whole_number(query, "offset") or 0, whole_number(query, "limit")
    page = all_groups[offset:] if limit is None else all_groups[offset : offset + limit]
    return {"server_groups": [_view(group, version) for group in page]}


@router.post("/os-server-groups")
async def create(
    context: MemberDep,
    wanted: Annotated[NewServerGroupRequest, body(NewServerGroupRequest)],
    found: ServicesDep,
    version: Version,
) -> dict[str, Any]:
    new = wanted.server_group
    policy = new.policies[0] if new.policies else new.policy
    if policy is None:
        raise BadRequest("Invalid input for field/attribute server_group: a policy is required.")
    if policy.startswith("soft") and version < _SOFT:
        raise BadRequest(f"Invalid input: the policy {policy} came with microversion 2.{_SOFT}.")
    most = new.rules.max_server_per_host if new.rules else None
    made = await found.db.write(_create, new.name, policy, most or 1, context.project_id, context.user_id)
    return {"server_group": _view(made, version)}


def _create(session: Session, name: str, policy: str, most: int, project_id: str, user_id: str) -> ServerGroup:
    limit = quotas.lock(session, project_id).server_groups
    if 0 <= limit <= len(groups.list_all(session, project_id=project_id)):
        raise QuotaExceeded("Quota exceeded, too many server groups.")
    return groups.create(
        session,
        id=str(uuid.uuid4()),
        project_id=project_id,
        user_id=user_id,
        name=name,
        policy=policy,
        max_server_per_host=most,
    )


@router.get("/os-server-groups/{group_id}")
async def show(group_id: str, context: ReaderDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    owner = None if context.is_admin else context.project_id
    return {"server_group": _view(await found.db.read(groups.get, group_id, project_id=owner), version)}


@router.delete("/os-server-groups/{group_id}", status_code=204)
async def delete(group_id: str, context: MemberDep, found: ServicesDep) -> Response:
    await found.db.write(groups.remove, group_id, project_id=None if context.is_admin else context.project_id)
    return empty(204)
