"""``/v2.0/security-groups`` and ``/v2.0/security-group-rules``."""

import uuid

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sqlmodel import Session

from api.auth import Context, MemberDep, ReaderDep
from api.deps import Services, ServicesDep
from api.network import body as bodies
from api.network import policy, query, views
from api.network.context import changing, quota_of
from api.network.schemas import SecurityGroupCreate, SecurityGroupRuleCreate, SecurityGroupUpdate
from infra.db import security_group_rules, security_groups
from infra.db.types import now
from infra.domain.errors import BadRequest, NotFound
from infra.domain.network import SecurityGroup, SecurityGroupRule
from infra.network import security_rules

router = APIRouter(prefix="/v2.0/security-groups")
rules_router = APIRouter(prefix="/v2.0/security-group-rules")
FILTERS = {**query.filters(booleans=("stateful",)), **query.TAGS}
RULE_FILTERS = {
    name: known
    for name, known in query.filters(
        text=("security_group_id", "direction", "ethertype", "protocol", "remote_ip_prefix", "remote_group_id"),
        numbers=("port_range_min", "port_range_max"),
    ).items()
    if name != "name"
}


@router.get("")
async def index(ctx: ReaderDep, found: ServicesDep, request: Request) -> Response:
    listing = query.read(request, FILTERS, policy.visible_to(ctx))
    await _make_default(ctx, found)
    shown = await found.db.read(security_groups.find, listing.selection)
    return query.answer(request, found, "security_groups", [views.security_group(it) for it in shown], listing)


@router.get("/{group_id}")
async def show(group_id: str, ctx: ReaderDep, found: ServicesDep, request: Request) -> Response:
    it = await found.db.read(security_groups.get, group_id)
    _own_group(ctx, it)
    return JSONResponse({"security_group": query.only(views.security_group(it), query.fields(request))})


@router.post("")
async def create(ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    wanted, bulk = bodies.several(body, "security_group", "security_groups", SecurityGroupCreate)
    time = now()
    new = [
        SecurityGroup(
            id=str(uuid.uuid4()),
            project_id=policy.project_for(ctx, each.project_id, each.tenant_id),
            created_at=time,
            updated_at=time,
            **{"name": "", **each.given()},
        )
        for each in wanted
    ]

    def work(session: Session) -> list[SecurityGroup]:
        return [security_groups.create(session, group, quota_of(found)) for group in new]

    made = [views.security_group(it) for it in await found.db.write(work)]
    return JSONResponse({"security_groups": made} if bulk else {"security_group": made[0]}, 201)


@router.put("/{group_id}")
async def update(group_id: str, ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    changes = bodies.one(body, "security_group", SecurityGroupUpdate).given()

    def work(session: Session) -> SecurityGroup:
        _own_group(ctx, security_groups.get(session, group_id))
        return security_groups.update(session, group_id, changes)

    return JSONResponse({"security_group": views.security_group(await found.db.write(work))})


@router.delete("/{group_id}")
async def delete(group_id: str, ctx: MemberDep, found: ServicesDep) -> Response:
    def work(session: Session) -> None:
        _own_group(ctx, security_groups.get(session, group_id))
        security_groups.delete(session, group_id, default_too=policy.trusted(ctx))

    await changing(ctx, found, work)
    return Response(status_code=204)


@rules_router.get("")
async def index_rules(ctx: ReaderDep, found: ServicesDep, request: Request) -> Response:
    listing = query.read(request, RULE_FILTERS, policy.visible_to(ctx))
    await _make_default(ctx, found)
    shown = await found.db.read(security_group_rules.find, listing.selection)
    made = [views.security_group_rule(it) for it in shown]
    return query.answer(request, found, "security_group_rules", made, listing)


@rules_router.get("/{rule_id}")
async def show_rule(rule_id: str, ctx: ReaderDep, found: ServicesDep, request: Request) -> Response:
    it = await found.db.read(security_group_rules.get, rule_id)
    _own_rule(ctx, it)
    return JSONResponse({"security_group_rule": query.only(views.security_group_rule(it), query.fields(request))})


@rules_router.post("")
async def create_rules(ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    wanted, bulk = bodies.several(body, "security_group_rule", "security_group_rules", SecurityGroupRuleCreate)
    if len({each.security_group_id for each in wanted}) > 1:
        message = "Only allowed to update rules for one security profile at a time."
        raise BadRequest(message, kind="SecurityGroupNotSingleGroupRules")
    new = [_new_rule(ctx, each) for each in wanted]

    def work(session: Session) -> list[SecurityGroupRule]:
        for rule in new:
            _own_group(ctx, security_groups.get(session, rule.security_group_id))
            if rule.remote_group_id is not None:
                _own_group(ctx, security_groups.get(session, rule.remote_group_id))
        return [security_group_rules.create(session, rule, quota_of(found)) for rule in new]

    made = [views.security_group_rule(it) for it in await changing(ctx, found, work)]
    return JSONResponse({"security_group_rules": made} if bulk else {"security_group_rule": made[0]}, 201)


@rules_router.delete("/{rule_id}")
async def delete_rule(rule_id: str, ctx: MemberDep, found: ServicesDep) -> Response:
    def work(session: Session) -> None:
        _own_rule(ctx, security_group_rules.get(session, rule_id))
        security_group_rules.delete(session, rule_id)

    await changing(ctx, found, work)
    return Response(status_code=204)


async def _make_default(ctx: Context, services: Services) -> None:
    """The first look at a project's groups makes its ``default`` group."""
    project = ctx.identity.project_id
    if project is not None and not await services.db.read(security_groups.has_default, project):
        await services.db.write(security_groups.default_of, project)


def _new_rule(ctx: Context, wanted: SecurityGroupRuleCreate) -> SecurityGroupRule:
    values = wanted.given()
    values["protocol"] = security_rules.protocol_of(wanted.protocol)
    if wanted.remote_ip_prefix is not None:
        values["remote_ip_prefix"] = security_rules.prefix_of(wanted.remote_ip_prefix)
    time = now()
    return SecurityGroupRule(
        id=str(uuid.uuid4()),
        project_id=policy.project_for(ctx, wanted.project_id, wanted.tenant_id),
        created_at=time,
        updated_at=time,
        **values,
    )


def _own_group(ctx: Context, group: SecurityGroup) -> None:
    if not policy.owns(ctx, group.project_id):
        raise NotFound(f"Security group {group.id} does not exist", kind="SecurityGroupNotFound")


def _own_rule(ctx: Context, rule: SecurityGroupRule) -> None:
    if not policy.owns(ctx, rule.project_id):
        raise NotFound(f"Security group rule {rule.id} does not exist", kind="SecurityGroupRuleNotFound")
