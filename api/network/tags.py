"""``/v2.0/{resource_type}/{resource_id}/tags``."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import TypeAdapter, ValidationError
from sqlmodel import Session

from api.auth import Context, MemberDep, ReaderDep
from api.deps import ServicesDep
from api.network import body as bodies
from api.network import policy
from api.network.schemas import TagsBody
from api.network.types import Text
from infra.db import floating_ips, network_tags, networks, ports, routers, security_groups, subnets
from infra.domain.errors import BadRequest, NotFound

router = APIRouter(prefix="/v2.0/{kind}/{resource_id}/tags")
_TAG: TypeAdapter[str] = TypeAdapter(Text)


@router.get("")
async def index(kind: str, resource_id: str, ctx: ReaderDep, found: ServicesDep) -> Response:
    return JSONResponse({"tags": list(await found.db.read(_tags, ctx, kind, resource_id, "get"))})


@router.put("")
async def replace(kind: str, resource_id: str, ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    wanted = bodies.whole(body, TagsBody).tags

    def work(session: Session) -> tuple[str, ...]:
        _tags(session, ctx, kind, resource_id, "update")
        return network_tags.replace(session, kind, resource_id, wanted)

    return JSONResponse({"tags": list(await found.db.write(work))})


@router.delete("")
async def clear(kind: str, resource_id: str, ctx: MemberDep, found: ServicesDep) -> Response:
    def work(session: Session) -> None:
        _tags(session, ctx, kind, resource_id, "delete")
        network_tags.replace(session, kind, resource_id, ())

    await found.db.write(work)
    return Response(status_code=204)


@router.get("/{tag}")
async def check(kind: str, resource_id: str, tag: str, ctx: ReaderDep, found: ServicesDep) -> Response:
    if tag not in await found.db.read(_tags, ctx, kind, resource_id, "get"):
        raise _missing(tag)
    return Response(status_code=204)


@router.put("/{tag}")
async def add(kind: str, resource_id: str, tag: str, ctx: MemberDep, found: ServicesDep) -> Response:
    try:
        _TAG.validate_python(tag)
    except ValidationError:
        raise BadRequest("A tag is at most 255 characters without control characters.", kind="HTTPBadRequest") from None

    def work(session: Session) -> None:
        before = _tags(session, ctx, kind, resource_id, "update")
        network_tags.replace(session, kind, resource_id, (*before, tag))

    await found.db.write(work)
    return Response(status_code=201)


@router.delete("/{tag}")
async def remove(kind: str, resource_id: str, tag: str, ctx: MemberDep, found: ServicesDep) -> Response:
    def work(session: Session) -> None:
        before = _tags(session, ctx, kind, resource_id, "delete")
        if tag not in before:
            raise _missing(tag)
        network_tags.replace(session, kind, resource_id, (each for each in before if each != tag))

    await found.db.write(work)
    return Response(status_code=204)


def _missing(tag: str) -> NotFound:
    return NotFound(f"Tag {tag} could not be found.", kind="TagNotFound")


def _tags(session: Session, ctx: Context, kind: str, resource_id: str, action: str) -> tuple[str, ...]:
    """Tags of a resource that the caller may see, or (unless ``action`` is get) change."""
    readers: dict[str, Callable[[Session, str], Any]] = {
        "networks": networks.get,
        "subnets": subnets.get,
        "ports": ports.get,
        "security-groups": security_groups.get,
        "routers": routers.get,
        "floatingips": floating_ips.get,
    }
    if kind not in readers:
        raise NotFound("The resource could not be found.", kind="HTTPNotFound")
    it = readers[kind](session, resource_id)
    network = it if kind == "networks" else None
    if kind in ("subnets", "ports"):
        network = networks.get(session, it.network_id)
    if kind == "networks":
        policy.see_network(ctx, it)
    elif kind == "subnets":
        assert network is not None
        policy.see_subnet(ctx, it, network)
    elif kind == "ports":
        assert network is not None
        policy.see_port(ctx, it, network)
    elif kind == "routers":
        policy.see_router(ctx, it)
    elif kind == "floatingips":
        policy.see_floating_ip(ctx, it)
    elif not policy.owns(ctx, it.project_id):
        raise NotFound(f"Security group {it.id} does not exist", kind="SecurityGroupNotFound")
    if action != "get" and not policy.owns(ctx, it.project_id):
        raise policy.forbidden(f"{action}_tags")
    tags: tuple[str, ...] = it.tags
    return tags
