"""The image service: Glance's Image API v2. Sources: the Image API v2 reference and its version documents."""

import uuid
from typing import Any

from fastapi import Body, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from api import faults
from api.auth import Context, MemberDep, ReaderDep
from api.deps import Services, ServicesDep, sub_application
from api.image import data, members, patch, query, schemas
from api.image.json_schemas import SCHEMAS
from api.image.views import changeable, image_view, versions
from api.trailing import NoEmptyId
from infra.db import images
from infra.db.types import now
from infra.domain.errors import BadRequest, Forbidden, NotFound
from infra.domain.image import Image


def build(services: Services) -> FastAPI:
    app = sub_application("Kilonova image service", services)
    faults.install(app, faults.identity_style)
    app.add_middleware(NoEmptyId, style=faults.identity_style)
    _discovery(app)
    _images(app)
    _data(app)
    members.add_to(app)
    return app


def _discovery(app: FastAPI) -> None:
    @app.get("/")
    @app.get("/versions")
    async def list_versions(request: Request, services: ServicesDep) -> Response:
        body = versions(f"{services.settings.api_url}/image")
        return JSONResponse(body, 200 if request.url.path.endswith("/versions") else 300)

    @app.get("/v2")
    async def show_version(services: ServicesDep) -> dict[str, Any]:
        return versions(f"{services.settings.api_url}/image")

    @app.get("/v2/schemas/{name}")
    async def show_schema(name: str, context: ReaderDep) -> dict[str, Any]:
        if name not in SCHEMAS:
            raise NotFound("There is no such schema.")
        return SCHEMAS[name]

    @app.get("/v2/info/import")
    async def import_methods(context: ReaderDep) -> dict[str, Any]:
        return {"import-methods": {"type": "array", "description": "Import methods available.", "value": []}}

    @app.get("/v2/info/stores")
    async def stores(context: ReaderDep) -> dict[str, Any]:
        return {"stores": [{"id": "file", "default": "true"}]}


def _images(app: FastAPI) -> None:
    @app.post("/v2/images", status_code=201)
    async def create(
        context: MemberDep, services: ServicesDep, response: Response, body: Any = Body()
    ) -> dict[str, Any]:
        image = await services.db.write(images.create, _new(context, body), context.idempotency_key)
        response.headers["Location"] = f"{services.settings.api_url}/image/v2/images/{image.id}"
        return image_view(image)

    @app.get("/v2/images")
    async def list_images(context: ReaderDep, services: ServicesDep, request: Request) -> dict[str, Any]:
        found = await services.db.read(
            images.visible,
            context.identity.project_id,
            visibility=query.visibility(request.query_params),
            member_status=query.member_status(request.query_params),
            everything=context.sees(None),
        )
        return query.page(found, request.query_params)

    @app.get("/v2/images/{image_id}")
    async def show(image_id: str, context: ReaderDep, services: ServicesDep) -> dict[str, Any]:
        return image_view(await seen(services, context, image_id))

    @app.patch("/v2/images/{image_id}")
    async def update(image_id: str, context: MemberDep, services: ServicesDep, request: Request) -> dict[str, Any]:
        changes = patch.parse(request.headers.get("content-type", ""), await request.body())
        await owned(services, context, image_id)
        return image_view(await services.db.write(images.update, image_id, lambda old: _changed(context, old, changes)))

    @app.delete("/v2/images/{image_id}", status_code=204)
    async def delete(image_id: str, context: MemberDep, services: ServicesDep) -> Response:
        if context.idempotency_key is not None and schemas.is_uuid(image_id):
            await services.db.write(images.withdraw, image_id, context.idempotency_key)
        else:
            await owned(services, context, image_id)
            await services.db.write(images.delete, image_id)
        await services.images.delete(image_id)
        return Response(status_code=204)


def _data(app: FastAPI) -> None:
    @app.put("/v2/images/{image_id}/file", status_code=204)
    async def upload(image_id: str, context: MemberDep, services: ServicesDep, request: Request) -> Response:
        await data.upload(services, context, await owned(services, context, image_id), request)
        return Response(status_code=204)

    @app.get("/v2/images/{image_id}/file")
    async def download(image_id: str, context: ReaderDep, services: ServicesDep, request: Request) -> Response:
        image = await seen(services, context, image_id)
        return data.download(services, context, image, request.headers.get("range"))

    @app.get("/v2/images/{image_id}/tasks")
    async def tasks(image_id: str, context: ReaderDep, services: ServicesDep) -> dict[str, Any]:
        """Imports leave tasks, and there are none here: an image is whole when it is active."""
        await seen(services, context, image_id)
        return {"tasks": []}

    @app.post("/v2/images/{image_id}/actions/{action}", status_code=204)
    async def act(image_id: str, action: str, context: MemberDep, services: ServicesDep) -> Response:
        if action not in ("deactivate", "reactivate"):
            raise NotFound("There is no such action.")
        await owned(services, context, image_id)
        await services.db.write(images.set_active, image_id, action == "reactivate")
        return Response(status_code=204)

    @app.put("/v2/images/{image_id}/tags/{tag:path}", status_code=204)
    async def add_tag(image_id: str, tag: str, context: MemberDep, services: ServicesDep) -> Response:
        schemas.check(schemas.TagName, {"tag": tag})
        await owned(services, context, image_id)
        await services.db.write(images.update, image_id, lambda old: _with_tag(old, tag))
        return Response(status_code=204)

    @app.delete("/v2/images/{image_id}/tags/{tag:path}", status_code=204)
    async def delete_tag(image_id: str, tag: str, context: MemberDep, services: ServicesDep) -> Response:
        await owned(services, context, image_id)
        await services.db.write(images.update, image_id, lambda old: _without_tag(old, tag))
        return Response(status_code=204)


async def seen(services: Services, context: Context, image_id: str) -> Image:
    """Raises NotFound for what the caller may not see."""
    if not schemas.is_uuid(image_id):
        raise NotFound(f"No image found with ID {image_id[:255]}")
    project = context.identity.project_id
    return await services.db.read(images.get, image_id, project, everything=context.sees(None))


async def owned(services: Services, context: Context, image_id: str) -> Image:
    """Raises NotFound for what the caller may not see, Forbidden for what he may see only."""
    image = await seen(services, context, image_id)
    if not context.sees(image.owner):
        raise Forbidden("You are not permitted to modify this image.")
    return image


def _new(context: Context, body: Any) -> Image:
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.")
    flat = dict(body)
    image_id = str(uuid.uuid4())
    if "id" in flat:
        image_id = schemas.check(schemas.ImageId, {"id": flat.pop("id")}).id
    fields = schemas.fields(flat)
    owner = context.project_id if fields.owner is None else fields.owner
    _check_rights(context, fields, owner=context.identity.project_id, visibility="shared", new_owner=owner)
    moment = now()
    blank = Image(
        id=image_id,
        name=None,
        owner=owner,
        status="queued",
        disk_format=None,
        container_format=None,
        created_at=moment,
        updated_at=moment,
    )
    return _apply(blank, fields, owner)


def _changed(context: Context, old: Image, changes: list[tuple[str, str, Any]]) -> Image:
    fields = schemas.fields(patch.apply(changeable(old), changes))
    formats = (fields.disk_format, fields.container_format)
    if old.status != "queued" and formats != (old.disk_format, old.container_format):
        raise Forbidden("The formats of an image that has data cannot be changed.")
    _check_rights(context, fields, owner=old.owner, visibility=old.visibility, new_owner=fields.owner)
    return _apply(old, fields, fields.owner)


def _check_rights(
    context: Context, fields: schemas.ImageFields, *, owner: str | None, visibility: str, new_owner: str | None
) -> None:
    if context.is_admin or context.identity.has("service"):
        return
    if new_owner != owner:
        raise Forbidden("Only administrators may give an image to another project.")
    if fields.visibility == "public" and visibility != "public":
        raise Forbidden("Only administrators may make an image public.")


def _apply(image: Image, fields: schemas.ImageFields, owner: str | None) -> Image:
    values = fields.model_dump(exclude={"os_hidden", "tags", "owner"})
    tags = tuple(dict.fromkeys(fields.tags))
    return image.model_copy(update={**values, "hidden": fields.os_hidden, "tags": tags, "owner": owner})


def _with_tag(image: Image, tag: str) -> Image:
    if tag in image.tags:
        return image
    if len(image.tags) >= schemas.MAX_TAGS:
        raise BadRequest(f"An image has at most {schemas.MAX_TAGS} tags.")
    return image.model_copy(update={"tags": (*image.tags, tag)})


def _without_tag(image: Image, tag: str) -> Image:
    if tag not in image.tags:
        raise NotFound("The image has no such tag.")
    return image.model_copy(update={"tags": tuple(other for other in image.tags if other != tag)})
