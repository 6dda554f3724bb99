"""Projects. Source: Identity API v3, "Projects" and "Project tags"."""

from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import ValidationError

from api.auth import ContextDep
from api.deps import ServicesDep
from api.faults import validation_message
from api.identity import views
from api.identity.policy import AdminDep, SeesAllDep, reads_everything, require
from api.identity.query import flag
from api.identity.schemas import ProjectCreateBody, ProjectUpdateBody, TagsBody
from infra.domain.errors import BadRequest, NotFound
from infra.domain.identity import DOMAIN_ID, Project


def add_to(app: FastAPI) -> None:
    _reads(app)
    _writes(app)
    _tags(app)


def _reads(app: FastAPI) -> None:
    @app.get("/v3/projects")
    async def list_projects(context: SeesAllDep, services: ServicesDep, request: Request) -> dict[str, Any]:
        query = request.query_params
        found = await services.identity.projects(query.get("name"))
        enabled = flag(query, "enabled")
        tags = frozenset(query["tags"].split(",")) if "tags" in query else frozenset()
        nowhere = (
            query.get("domain_id", DOMAIN_ID) != DOMAIN_ID
            or query.get("parent_id", DOMAIN_ID) != DOMAIN_ID
            or flag(query, "is_domain") is True
        )
        listed = [
            views.project(services.settings, item)
            for item in found
            if not nowhere and enabled in (None, item.enabled) and tags <= frozenset(item.tags)
        ]
        return views.collection(services.settings, "projects", "/projects", listed)

    @app.get("/v3/projects/{project_id}")
    async def show(project_id: str, context: ContextDep, services: ServicesDep) -> dict[str, Any]:
        require(reads_everything(context) or context.identity.project_id == project_id)
        return {"project": views.project(services.settings, await services.identity.project(project_id))}


def _writes(app: FastAPI) -> None:
    @app.post("/v3/projects", status_code=201)
    async def create(body: ProjectCreateBody, context: AdminDep, services: ServicesDep) -> dict[str, Any]:
        given = body.project
        in_our_domain(given.domain_id)
        if given.parent_id not in (None, DOMAIN_ID):
            raise BadRequest("Projects can't be nested here: parent_id may only be the default domain.")
        made = await services.identity.create_project(given.name, given.description or "", given.enabled, given.tags)
        return {"project": views.project(services.settings, made)}

    @app.patch("/v3/projects/{project_id}")
    async def update(
        project_id: str, body: ProjectUpdateBody, context: AdminDep, services: ServicesDep
    ) -> dict[str, Any]:
        given = body.project
        in_our_domain(given.domain_id)
        changes = given.model_dump(include={"name", "description", "enabled", "tags"})
        changed = await services.identity.update_project(project_id, **changes)
        return {"project": views.project(services.settings, changed)}

    @app.delete("/v3/projects/{project_id}", status_code=204, response_class=Response)
    async def delete(project_id: str, context: AdminDep, services: ServicesDep) -> None:
        await services.identity.delete_project(project_id)


def in_our_domain(domain_id: str | None) -> None:
    if domain_id not in (None, DOMAIN_ID):
        raise NotFound(f"Could not find domain: {domain_id[:64] if domain_id else ''}.")


def _tags(app: FastAPI) -> None:
    @app.get("/v3/projects/{project_id}/tags")
    async def list_tags(project_id: str, context: SeesAllDep, services: ServicesDep) -> dict[str, Any]:
        found = await services.identity.project(project_id)
        return views.collection(services.settings, "tags", f"/projects/{found.id}/tags", found.tags)

    @app.put("/v3/projects/{project_id}/tags")
    async def replace_tags(project_id: str, body: TagsBody, context: AdminDep, services: ServicesDep) -> dict[str, Any]:
        changed = await services.identity.update_project(project_id, tags=body.tags)
        return views.collection(services.settings, "tags", f"/projects/{changed.id}/tags", changed.tags)

    @app.delete("/v3/projects/{project_id}/tags", status_code=204, response_class=Response)
    async def delete_tags(project_id: str, context: AdminDep, services: ServicesDep) -> None:
        await services.identity.update_project(project_id, tags=[])

    @app.api_route("/v3/projects/{project_id}/tags/{tag}", methods=["GET", "HEAD"], status_code=204)
    async def has_tag(project_id: str, tag: str, context: SeesAllDep, services: ServicesDep) -> Response:
        _require_tag(await services.identity.project(project_id), tag)
        return Response(status_code=204)

    @app.put("/v3/projects/{project_id}/tags/{tag}", status_code=201, response_class=Response)
    async def add_tag(project_id: str, tag: str, context: AdminDep, services: ServicesDep) -> None:
        found = await services.identity.project(project_id)
        if tag not in found.tags:
            await services.identity.update_project(project_id, tags=_checked([*found.tags, tag]))

    @app.delete("/v3/projects/{project_id}/tags/{tag}", status_code=204, response_class=Response)
    async def remove_tag(project_id: str, tag: str, context: AdminDep, services: ServicesDep) -> None:
        found = await services.identity.project(project_id)
        _require_tag(found, tag)
        await services.identity.update_project(project_id, tags=[item for item in found.tags if item != tag])


def _checked(tags: list[str]) -> list[str]:
    try:
        return TagsBody(tags=tags).tags
    except ValidationError as error:
        raise BadRequest(validation_message(error.errors())) from error


def _require_tag(found: Project, tag: str) -> None:
    if tag not in found.tags:
        raise NotFound(f"Could not find project tag: {tag[:64]}.")
