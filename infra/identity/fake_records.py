"""Users, projects and roles in memory."""

import uuid
from collections.abc import Sequence
from typing import Any

from infra.domain.errors import Conflict, NotFound
from infra.domain.identity import ROLES, Project, User
from infra.identity.claims import keycloak_id, public_id

Assignment = tuple[str, str | None, str]


class Records:
    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self._passwords: dict[str, str | None] = {}
        self._projects: dict[str, Project] = {}
        self._grants: dict[Assignment, None] = {}

    def _changed(self) -> None:
        """What was known about tokens may no longer hold."""
        raise NotImplementedError

    # -- users

    async def user(self, user_id: str) -> User:
        return self._users[self._known_user(user_id)]

    async def users(self, name: str | None = None) -> list[User]:
        everyone = [user for user in self._users.values() if not user.name.startswith("service-account-")]
        return [user for user in everyone if name is None or user.name.lower() == name.lower()]

    async def create_user(
        self, name: str, password: str | None, email: str | None = None, enabled: bool = True, description: str = ""
    ) -> User:
        if self._named(name) is not None:
            raise Conflict(f"Conflict occurred attempting to store user {name}: it exists already.")
        user = User(id=uuid.uuid4().hex, name=name, email=email or None, enabled=enabled, description=description)
        self._users[user.id] = user
        self._passwords[user.id] = password
        return user

    async def update_user(
        self,
        user_id: str,
        *,
        name: str | None = None,
        password: str | None = None,
        email: str | None = None,
        enabled: bool | None = None,
        description: str | None = None,
    ) -> User:
        key = self._known_user(user_id)
        other = None if name is None else self._named(name)
        if other is not None and other.id != key:
            raise Conflict(f"Conflict occurred attempting to store user {name}: it exists already.")
        changes = {"name": name, "email": email, "enabled": enabled, "description": description}
        self._users[key] = self._users[key].model_copy(update=_given(changes))
        if password is not None:
            self._passwords[key] = password
        self._changed()
        return self._users[key]

    async def delete_user(self, user_id: str) -> None:
        key = self._known_user(user_id)
        del self._users[key], self._passwords[key]
        self._grants = {grant: None for grant in self._grants if grant[0] != key}
        self._changed()

    def _named(self, name: str) -> User | None:
        return next((user for user in self._users.values() if user.name.lower() == name.lower()), None)

    def _known_user(self, user_id: str) -> str:
        key = public_id(keycloak_id(user_id, "user"))
        if key not in self._users:
            raise NotFound(f"Could not find user: {user_id[:64]}.")
        return key

    # -- projects

    async def project(self, project_id: str) -> Project:
        return self._projects[self._known_project(project_id)]

    async def projects(self, name: str | None = None) -> list[Project]:
        return [project for project in self._projects.values() if name is None or project.name == name]

    async def user_projects(self, user_id: str) -> list[Project]:
        key = self._known_user(user_id)
        places = {place for (holder, place, _) in self._grants if holder == key}
        return [project for project in self._projects.values() if project.id in places]

    async def create_project(
        self, name: str, description: str = "", enabled: bool = True, tags: Sequence[str] = ()
    ) -> Project:
        if self._project_named(name) is not None:
            raise Conflict(f"Conflict occurred attempting to store project {name}: it exists already.")
        made = {"name": name, "description": description, "enabled": enabled, "tags": tuple(tags)}
        project = Project(id=uuid.uuid4().hex, **made)
        self._projects[project.id] = project
        return project

    async def update_project(
        self,
        project_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        enabled: bool | None = None,
        tags: Sequence[str] | None = None,
    ) -> Project:
        key = self._known_project(project_id)
        other = None if name is None else self._project_named(name)
        if other is not None and other.id != key:
            raise Conflict(f"Conflict occurred attempting to store project {name}: it exists already.")
        kept = None if tags is None else tuple(tags)
        changes = _given({"name": name, "description": description, "enabled": enabled, "tags": kept})
        self._projects[key] = self._projects[key].model_copy(update=changes)
        self._changed()
        return self._projects[key]

    async def delete_project(self, project_id: str) -> None:
        key = self._known_project(project_id)
        del self._projects[key]
        self._grants = {grant: None for grant in self._grants if grant[1] != key}
        self._changed()

    def _project_named(self, name: str) -> Project | None:
        return next((project for project in self._projects.values() if project.name == name), None)

    def _known_project(self, project_id: str) -> str:
        key = public_id(keycloak_id(project_id, "project"))
        if key not in self._projects:
            raise NotFound(f"Could not find project: {project_id[:64]}.")
        return key

    # -- roles

    async def roles_of(self, user_id: str, project_id: str | None) -> list[str]:
        key = public_id(keycloak_id(user_id, "user"))
        held = {role for (holder, place, role) in self._grants if holder == key and place == project_id}
        return [role for role in ROLES if role in held]

    async def grant(self, user_id: str, project_id: str | None, role: str) -> None:
        self._grants[self._assignment(user_id, project_id, role)] = None
        self._changed()

    async def revoke_role(self, user_id: str, project_id: str | None, role: str) -> None:
        assignment = self._assignment(user_id, project_id, role)
        if assignment not in self._grants:
            raise NotFound(f"Could not find role assignment with role: {role}, user: {user_id[:64]}.")
        del self._grants[assignment]
        self._changed()

    def _assignment(self, user_id: str, project_id: str | None, role: str) -> Assignment:
        if role not in ROLES:
            raise NotFound(f"Could not find role: {role[:64]}.")
        place = None if project_id is None else self._known_project(project_id)
        return self._known_user(user_id), place, role

    async def assignments(self, *, user_id: str | None = None, project_id: str | None = None) -> list[Assignment]:
        return [
            (holder, place, role)
            for (holder, place, role) in self._grants
            if user_id in (None, holder) and project_id in (None, place)
        ]


def _given(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if value is not None}
