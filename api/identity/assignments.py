"""Roles and who has them where. Source: Identity API v3, "Roles" and "System role assignments"."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response

from api.deps import Services, ServicesDep
from api.identity import views
from api.identity.policy import AdminDep, SeesAllDep
from api.identity.query import flag
from infra.domain.errors import NotFound
from infra.domain.identity import IMPLIED, ROLES

Assignment = tuple[str, str | None, str]


async def _where(request: Request) -> str | None:
    """The project in the path; None where the path is about the system."""
    return request.path_params.get("project_id")


ProjectDep = Annotated[str | None, Depends(_where)]


def add_to(app: FastAPI) -> None:
    _roles(app)
    _listing(app)
    for path in ("/v3/projects/{project_id}/users/{user_id}/roles", "/v3/system/users/{user_id}/roles"):
        _grants(app, path)


def _roles(app: FastAPI) -> None:
    @app.get("/v3/roles")
    async def list_roles(context: SeesAllDep, services: ServicesDep, request: Request) -> dict[str, Any]:
        query = request.query_params
        found = [name for name in ROLES if query.get("name", name) == name and not query.get("domain_id")]
        listed = [views.role(services.settings, name) for name in found]
        return views.collection(services.settings, "roles", "/roles", listed)

    @app.get("/v3/roles/{role_id}")
    async def show_role(role_id: str, context: SeesAllDep, services: ServicesDep) -> dict[str, Any]:
        if role_id not in ROLES:
            raise NotFound(f"Could not find role: {role_id[:64]}.")
        return {"role": views.role(services.settings, role_id)}

    @app.get("/v3/role_inferences")
    async def inferences(context: SeesAllDep, services: ServicesDep) -> dict[str, Any]:
        rules = [
            {
                "prior_role": views.role(services.settings, prior),
                "implies": [views.role(services.settings, name) for name in implied],
            }
            for prior, implied in IMPLIED.items()
            if implied
        ]
        return views.collection(services.settings, "role_inferences", "/role_inferences", rules)


def _listing(app: FastAPI) -> None:
    @app.get("/v3/role_assignments")
    async def list_assignments(context: SeesAllDep, services: ServicesDep, request: Request) -> dict[str, Any]:
        query = request.query_params
        found = await _found(services, query)
        if flag(query, "effective"):
            found = list(
                dict.fromkeys((user, where, name) for user, where, role in found for name in (role, *IMPLIED[role]))
            )
        if "role.id" in query:
            found = [item for item in found if item[2] == query["role.id"]]
        users, projects = await _names(services, found) if flag(query, "include_names") else ({}, {})
        listed = [_assignment(services, item, users, projects) for item in found]
        return views.collection(services.settings, "role_assignments", "/role_assignments", listed)


async def _found(services: Services, query: Mapping[str, str]) -> list[Assignment]:
    if "group.id" in query or "scope.domain.id" in query:
        return []
    found = await services.identity.assignments(user_id=query.get("user.id"), project_id=query.get("scope.project.id"))
    return [item for item in found if item[1] is None] if flag(query, "scope.system") else found


async def _names(services: Services, found: list[Assignment]) -> tuple[dict[str, str], dict[str, str]]:
    users = {item.id: item.name for item in await services.identity.users()}
    # Services' own accounts are not among the users.
    for user_id in {item[0] for item in found} - users.keys():
        users[user_id] = (await services.identity.user(user_id)).name
    return users, {item.id: item.name for item in await services.identity.projects()}


def _assignment(
    services: Services, item: Assignment, users: Mapping[str, str], projects: Mapping[str, str]
) -> dict[str, Any]:
    user_id, project_id, role = item
    user: dict[str, Any] = {"id": user_id}
    if user_id in users:
        user |= {"name": users[user_id], "domain": views.DOMAIN}
    root, named = views.root(services.settings), {"name": role} if users else {}
    if project_id is None:
        where, scope = "system", {"system": {"all": True}}
    else:
        project: dict[str, Any] = {"id": project_id}
        if project_id in projects:
            project |= {"name": projects[project_id], "domain": views.DOMAIN}
        where, scope = f"projects/{project_id}", {"project": project}
    return {
        "user": user,
        "role": {"id": role, **named},
        "scope": scope,
        "links": {"assignment": f"{root}/{where}/users/{user_id}/roles/{role}"},
    }


def _grants(app: FastAPI, path: str) -> None:
    @app.get(path)
    async def list_grants(
        user_id: str, project_id: ProjectDep, context: SeesAllDep, services: ServicesDep, request: Request
    ) -> dict[str, Any]:
        await _exist(services, user_id, project_id)
        held = await services.identity.roles_of(user_id, project_id)
        where = request.url.path.partition("/v3")[2]
        return views.collection(
            services.settings, "roles", where, [views.role(services.settings, name) for name in held]
        )

    @app.api_route(path + "/{role_id}", methods=["GET", "HEAD"], status_code=204)
    async def check_grant(
        user_id: str, role_id: str, project_id: ProjectDep, context: SeesAllDep, services: ServicesDep
    ) -> Response:
        if role_id not in await services.identity.roles_of(user_id, project_id):
            raise NotFound(f"Could not find role assignment with role: {role_id[:64]}.")
        return Response(status_code=204)

    @app.put(path + "/{role_id}", status_code=204, response_class=Response)
    async def grant(
        user_id: str, role_id: str, project_id: ProjectDep, context: AdminDep, services: ServicesDep
    ) -> None:
        await services.identity.grant(user_id, project_id, role_id)

    @app.delete(path + "/{role_id}", status_code=204, response_class=Response)
    async def revoke(
        user_id: str, role_id: str, project_id: ProjectDep, context: AdminDep, services: ServicesDep
    ) -> None:
        await services.identity.revoke_role(user_id, project_id, role_id)


async def _exist(services: Services, user_id: str, project_id: str | None) -> None:
    await services.identity.user(user_id)
    if project_id is not None:
        await services.identity.project(project_id)
