"""Role assignments: membership of the organization's group of that name, or on the system the role itself."""

import contextlib
from typing import Any

from infra.domain.errors import BadRequest, Conflict, NotFound
from infra.domain.identity import ROLES
from infra.identity.claims import keycloak_id, public_id
from infra.identity.connection import Connection, RealmPart

Assignment = tuple[str, str | None, str]


class Roles(RealmPart):
    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._roles: dict[str, dict[str, Any]] = {}

    async def roles_of(self, user_id: str, project_id: str | None) -> list[str]:
        user = keycloak_id(user_id, "user")
        if project_id is None:
            return await self._system_roles(user)
        organization = keycloak_id(project_id, "project")
        try:
            groups = await self._connection.pages(f"organizations/{organization}/members/{user}/groups")
        except NotFound:
            return []
        return _known(group["name"] for group in groups)

    async def _system_roles(self, user: str) -> list[str]:
        client = await self._connection.client_key()
        what = f"user: {public_id(user)}"
        found = await self._connection.call(self._connection.admin.a_get_client_roles_of_user(user, client), what)
        return _known(role["name"] for role in found)

    async def grant(self, user_id: str, project_id: str | None, role: str) -> None:
        """Do nothing if it is granted already. NotFound for an unknown user, project or role."""
        user, representation = keycloak_id(user_id, "user"), await self._role(role)
        if project_id is None:
            client = await self._connection.client_key()
            call = self._connection.admin.a_assign_client_role(user, client, [representation])
            await self._connection.call(call, f"user: {user_id[:64]}")
        else:
            organization = keycloak_id(project_id, "project")
            await self._join(organization, user)
            group = await self._group(organization, role)
            # A conflict is that it is granted already.
            with contextlib.suppress(Conflict):
                await self._connection.raw("put", f"organizations/{organization}/groups/{group}/members/{user}")
        self._changed()

    async def _join(self, organization: str, user: str) -> None:
        what = f"user: {public_id(user)}, or project: {public_id(organization)}"
        # Keycloak answers 400 to the id of a user that doesn't exist.
        await self._connection.call(self._connection.admin.a_get_user(user), what)
        with contextlib.suppress(Conflict):
            await self._connection.call(self._connection.admin.a_organization_user_add(user, organization), what)

    async def _group(self, organization: str, role: str) -> str:
        """The id of the group that gives ``role`` in this organization; made when it is first needed."""
        path = f"organizations/{organization}/groups"
        found = await self._groups(organization)
        if role not in found:
            # A conflict is somebody else making it at the same moment.
            with contextlib.suppress(Conflict):
                await self._connection.raw("post", path, {"name": role})
            found = await self._groups(organization)
        client = await self._connection.client_key()
        mapping = f"{path}/{found[role]}/role-mappings/clients/{client}"
        representation = [await self._role(role)]
        try:
            await self._connection.raw("post", mapping, representation)
        except BadRequest:
            # What Keycloak answers to one of two that add it at the same moment; to have it already is success.
            await self._connection.raw("post", mapping, representation)
        return found[role]

    async def _groups(self, organization: str) -> dict[str, str]:
        """Ids of the organization's role groups by role."""
        found = await self._connection.pages(f"organizations/{organization}/groups")
        return {group["name"]: str(group["id"]) for group in found if group["name"] in ROLES}

    async def revoke_role(self, user_id: str, project_id: str | None, role: str) -> None:
        """NotFound if it is not granted."""
        missing = NotFound(f"Could not find role assignment with role: {role}, user: {user_id[:64]}.")
        held = await self.roles_of(user_id, project_id)
        if role not in held:
            raise missing
        user = keycloak_id(user_id, "user")
        if project_id is None:
            client = await self._connection.client_key()
            call = self._connection.admin.a_delete_client_roles_of_user(user, client, [await self._role(role)])
            await self._connection.call(call)
        else:
            organization = keycloak_id(project_id, "project")
            await self._leave(organization, user, role, last=held == [role])
        self._changed()

    async def _leave(self, organization: str, user: str, role: str, *, last: bool) -> None:
        if last:
            # A member without a role would still see the project in its list.
            await self._connection.call(self._connection.admin.a_organization_user_remove(user, organization))
            return
        group = (await self._groups(organization))[role]
        await self._connection.raw("delete", f"organizations/{organization}/groups/{group}/members/{user}")

    async def _role(self, role: str) -> dict[str, Any]:
        if role not in ROLES:
            raise NotFound(f"Could not find role: {role[:64]}.")
        if role not in self._roles:
            client = await self._connection.client_key()
            found = await self._connection.call(self._connection.admin.a_get_client_role(client, role))
            self._roles[role] = {"id": found["id"], "name": role}
        return self._roles[role]

    async def assignments(self, *, user_id: str | None = None, project_id: str | None = None) -> list[Assignment]:
        """As assigned, without implied ones. Without a ``project_id``: of every project and the system."""
        if user_id is not None:
            return await self._of_user(user_id, project_id)
        if project_id is not None:
            return await self._of_project(keycloak_id(project_id, "project"))
        organizations = await self._connection.pages("organizations")
        by_project = await self._connection.gather(self._of_project(item["id"]) for item in organizations)
        return [item for items in by_project for item in items] + await self._of_system()

    async def _of_user(self, user_id: str, project_id: str | None) -> list[Assignment]:
        user = keycloak_id(user_id, "user")
        if project_id is not None:
            return [(public_id(user), project_id, role) for role in await self.roles_of(user_id, project_id)]
        try:
            found = await self._connection.call(self._connection.admin.a_get_user_organizations(user))
        except NotFound:
            return []
        projects = [public_id(item["id"]) for item in found]
        everywhere = await self._connection.gather(self.roles_of(user_id, where) for where in [*projects, None])
        return [
            (public_id(user), where, role)
            for where, roles in zip([*projects, None], everywhere, strict=True)
            for role in roles
        ]

    async def _of_project(self, organization: str) -> list[Assignment]:
        path = f"organizations/{organization}/groups"
        try:
            groups = await self._groups(organization)
            members = {role: await self._connection.pages(f"{path}/{key}/members") for role, key in groups.items()}
        except NotFound:
            return []
        project = public_id(organization)
        return [(public_id(user["id"]), project, role) for role, users in members.items() for user in users]

    async def _of_system(self) -> list[Assignment]:
        client = await self._connection.client_key()
        found: list[Assignment] = []
        for role in ROLES:
            users = await self._connection.pages(f"clients/{client}/roles/{role}/users")
            found += [(public_id(user["id"]), None, role) for user in users]
        return found


def _known(names: Any) -> list[str]:
    held = set(names)
    return [role for role in ROLES if role in held]
