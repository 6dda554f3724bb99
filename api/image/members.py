"""Sharing images with other projects (Image API v2, "Sharing")."""

from typing import Any

from fastapi import Body, FastAPI, Response
from sqlmodel import Session

from api.auth import Context, MemberDep, ReaderDep
from api.deps import ServicesDep
from api.image import schemas
from api.image.views import member_view
from infra.db import image_members, images
from infra.domain.errors import Forbidden, NotFound
from infra.domain.image import Image, ImageMember


def add_to(app: FastAPI) -> None:
    path = "/v2/images/{image_id}/members"

    @app.post(path)
    async def create(image_id: str, context: MemberDep, services: ServicesDep, body: Any = Body()) -> dict[str, Any]:
        wanted = schemas.check(schemas.NewMember, body)
        return member_view(await services.db.write(_add, context, image_id, wanted.member))

    @app.get(path)
    async def list_members(image_id: str, context: ReaderDep, services: ServicesDep) -> dict[str, Any]:
        found = await services.db.read(_list, context, image_id)
        return {"members": [member_view(member) for member in found], "schema": "/v2/schemas/members"}

    @app.get(path + "/{member_id}")
    async def show(image_id: str, member_id: str, context: ReaderDep, services: ServicesDep) -> dict[str, Any]:
        return member_view(await services.db.read(_show, context, image_id, member_id))

    @app.put(path + "/{member_id}")
    async def update(
        image_id: str, member_id: str, context: MemberDep, services: ServicesDep, body: Any = Body()
    ) -> dict[str, Any]:
        wanted = schemas.check(schemas.MemberAnswer, body)
        return member_view(await services.db.write(_answer, context, image_id, member_id, wanted.status))

    @app.delete(path + "/{member_id}", status_code=204)
    async def delete(image_id: str, member_id: str, context: MemberDep, services: ServicesDep) -> Response:
        await services.db.write(_remove, context, image_id, member_id)
        return Response(status_code=204)


def _seen(session: Session, context: Context, image_id: str) -> Image:
    if not schemas.is_uuid(image_id):
        raise NotFound(f"No image found with ID {image_id[:255]}")
    return images.get(session, image_id, context.identity.project_id, everything=context.sees(None))


def _to_share(session: Session, context: Context, image_id: str) -> Image:
    image = _seen(session, context, image_id)
    if not context.sees(image.owner):
        raise Forbidden("Only the owner of an image may say with whom it is shared.")
    if image.visibility != "shared":
        raise Forbidden("Only shared images have members.")
    return image


def _add(session: Session, context: Context, image_id: str, member_id: str) -> ImageMember:
    _to_share(session, context, image_id)
    return image_members.add(session, image_id, member_id)


def _list(session: Session, context: Context, image_id: str) -> list[ImageMember]:
    image = _seen(session, context, image_id)
    if image.visibility != "shared":
        raise Forbidden("Only shared images have members.")
    found = image_members.all_of(session, image_id)
    if context.sees(image.owner):
        return found
    return [member for member in found if member.member_id == context.identity.project_id]


def _show(session: Session, context: Context, image_id: str, member_id: str) -> ImageMember:
    schemas.check(schemas.NewMember, {"member": member_id})
    image = _seen(session, context, image_id)
    if not context.sees(image.owner) and member_id != context.identity.project_id:
        raise NotFound(f"{member_id} not found in the member list of the image {image_id}.")
    return image_members.get(session, image_id, member_id)


def _answer(session: Session, context: Context, image_id: str, member_id: str, status: str) -> ImageMember:
    schemas.check(schemas.NewMember, {"member": member_id})
    _seen(session, context, image_id)
    if not context.is_admin and member_id != context.identity.project_id:
        raise Forbidden("Only the member may accept or reject an image.")
    return image_members.answer(session, image_id, member_id, status)


def _remove(session: Session, context: Context, image_id: str, member_id: str) -> None:
    schemas.check(schemas.NewMember, {"member": member_id})
    _to_share(session, context, image_id)
    image_members.remove(session, image_id, member_id)
