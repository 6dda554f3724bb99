"""Users. Source: Identity API v3, "Users"."""

from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import SecretStr

from api.auth import ContextDep
from api.deps import ServicesDep
from api.identity import views
from api.identity.policy import AdminDep, SeesAllDep, reads_everything, require
from api.identity.projects import in_our_domain
from api.identity.query import flag
from api.identity.schemas import PasswordChangeBody, UserCreateBody, UserUpdateBody
from infra.domain.errors import Unauthorized
from infra.domain.identity import DOMAIN_ID


def add_to(app: FastAPI) -> None:
    _reads(app)
    _writes(app)
    _own(app)


def _reads(app: FastAPI) -> None:
    @app.get("/v3/users")
    async def list_users(context: SeesAllDep, services: ServicesDep, request: Request) -> dict[str, Any]:
        query = request.query_params
        found = await services.identity.users(query.get("name"))
        ours, enabled = query.get("domain_id", DOMAIN_ID) == DOMAIN_ID, flag(query, "enabled")
        listed = [views.user(services.settings, item) for item in found if ours and enabled in (None, item.enabled)]
        return views.collection(services.settings, "users", "/users", listed)

    @app.get("/v3/users/{user_id}")
    async def show(user_id: str, context: ContextDep, services: ServicesDep) -> dict[str, Any]:
        require(reads_everything(context) or context.user_id == user_id)
        return {"user": views.user(services.settings, await services.identity.user(user_id))}

    @app.get("/v3/users/{user_id}/projects")
    async def list_projects(user_id: str, context: ContextDep, services: ServicesDep) -> dict[str, Any]:
        require(reads_everything(context) or context.user_id == user_id)
        found = await services.identity.user_projects(user_id)
        listed = [views.project(services.settings, item) for item in found]
        return views.collection(services.settings, "projects", f"/users/{user_id}/projects", listed)


def _writes(app: FastAPI) -> None:
    @app.post("/v3/users", status_code=201)
    async def create(body: UserCreateBody, context: AdminDep, services: ServicesDep) -> dict[str, Any]:
        given = body.user
        in_our_domain(given.domain_id)
        made = await services.identity.create_user(
            given.name, _open(given.password), given.email, given.enabled, given.description or ""
        )
        return {"user": views.user(services.settings, made)}

    @app.patch("/v3/users/{user_id}")
    async def update(user_id: str, body: UserUpdateBody, context: AdminDep, services: ServicesDep) -> dict[str, Any]:
        given = body.user
        in_our_domain(given.domain_id)
        changes = given.model_dump(include={"name", "email", "enabled", "description"})
        changed = await services.identity.update_user(user_id, password=_open(given.password), **changes)
        return {"user": views.user(services.settings, changed)}

    @app.delete("/v3/users/{user_id}", status_code=204, response_class=Response)
    async def delete(user_id: str, context: AdminDep, services: ServicesDep) -> None:
        await services.identity.delete_user(user_id)


def _open(password: SecretStr | None) -> str | None:
    return None if password is None else password.get_secret_value()


def _own(app: FastAPI) -> None:
    @app.post("/v3/users/{user_id}/password", status_code=204, response_class=Response)
    async def change_password(
        user_id: str, body: PasswordChangeBody, context: ContextDep, services: ServicesDep
    ) -> None:
        require(context.user_id == user_id)
        original = body.user.original_password.get_secret_value()
        try:
            await services.identity.password_token(user_id, original, by_id=True)
        except Unauthorized as error:
            raise Unauthorized("The original password is not right.") from error
        await services.identity.update_user(user_id, password=body.user.password.get_secret_value())
