"""Projects: Keycloak's organizations."""

import time
import uuid
from collections.abc import Sequence
from typing import Any

from infra.domain.errors import NotFound
from infra.domain.identity import Project
from infra.identity.claims import keycloak_id, public_id
from infra.identity.connection import Connection, RealmPart

_REMEMBER_SECONDS = 30.0
_REMEMBERED = 10_000


class Projects(RealmPart):
    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._names: dict[str, tuple[float, str]] = {}

    async def project(self, project_id: str) -> Project:
        return _project(await self.organization(project_id))

    async def organization(self, project_id: str) -> dict[str, Any]:
        """Keycloak's own form of the organization. NotFound if there is none."""
        what = f"project: {project_id[:64]}"
        found: dict[str, Any] = await self._connection.call(
            self._connection.admin.a_get_organization(keycloak_id(project_id, "project")), what
        )
        return found

    async def projects(self, name: str | None = None) -> list[Project]:
        query: dict[str, Any] = {} if name is None else {"search": name, "exact": True}
        # Attributes come with the long form only.
        found = await self._connection.pages("organizations", briefRepresentation=False, **query)
        # The search looks at domains too.
        return [_project(item) for item in found if name is None or item["name"] == name]

    async def find(self, project: str) -> dict[str, Any]:
        """The organization with this id, else with this name. NotFound if neither."""
        try:
            return await self.organization(project)
        except NotFound:
            found = await self._connection.pages("organizations", search=project, exact=True)
        for item in found:
            if item["name"] == project:
                return item
        raise NotFound(f"Could not find project: {project[:64]}.")

    async def project_name(self, project_id: str) -> str:
        """The name as it was some seconds ago: tokens show it, nothing is decided by it."""
        until, name = self._names.get(project_id, (0.0, ""))
        if until <= time.monotonic():
            name = (await self.project(project_id)).name
            if len(self._names) >= _REMEMBERED:
                self._names.clear()
            self._names[project_id] = (time.monotonic() + _REMEMBER_SECONDS, name)
        return name

    async def user_projects(self, user_id: str) -> list[Project]:
        what = f"user: {user_id[:64]}"
        user = keycloak_id(user_id, "user")
        await self._connection.call(self._connection.admin.a_get_user(user), what)
        path = f"organizations/members/{user}/organizations"
        found = await self._connection.raw("get", path, what=what, briefRepresentation=False)
        return [_project(item) for item in found]

    async def create_project(
        self, name: str, description: str = "", enabled: bool = True, tags: Sequence[str] = ()
    ) -> Project:
        # The alias becomes a scope's name, where a project's name could not stand, and never changes.
        body = {
            "name": name,
            "alias": uuid.uuid4().hex,
            "description": description,
            "enabled": enabled,
            "attributes": {"tags": list(tags)},
        }
        made = await self._connection.call(self._connection.admin.a_create_organization(body), f"project {name}")
        return _project(body | {"id": made})

    async def update_project(
        self,
        project_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        enabled: bool | None = None,
        tags: Sequence[str] | None = None,
    ) -> Project:
        body = await self.organization(project_id)
        changes = {"name": name, "description": description, "enabled": enabled}
        body |= {key: value for key, value in changes.items() if value is not None}
        if tags is not None:
            body["attributes"] = {**body.get("attributes", {}), "tags": list(tags)}
        await self._connection.call(
            self._connection.admin.a_update_organization(body["id"], body), f"project {name or project_id[:64]}"
        )
        self._forget()
        return _project(body)

    async def delete_project(self, project_id: str) -> None:
        what = f"project: {project_id[:64]}"
        organization = keycloak_id(project_id, "project")
        await self._connection.call(self._connection.admin.a_delete_organization(organization), what)
        self._forget()

    def _forget(self) -> None:
        self._names.clear()
        self._changed()


def _project(found: dict[str, Any]) -> Project:
    return Project(
        id=public_id(found["id"]),
        name=found["name"],
        description=found.get("description") or "",
        enabled=found.get("enabled", True),
        tags=tuple((found.get("attributes") or {}).get("tags", ())),
    )
