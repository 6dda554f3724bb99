"""Users in Keycloak."""

from typing import Any

from infra.domain.errors import NotFound
from infra.domain.identity import User
from infra.identity.claims import keycloak_id, public_id, spelling
from infra.identity.connection import RealmPart

_SERVICE_ACCOUNT = "service-account-"


class Users(RealmPart):
    async def user(self, user_id: str) -> User:
        return _user(await self.stored_user(user_id))

    async def stored_user(self, user_id: str) -> dict[str, Any]:
        """Keycloak's own form of a user. NotFound if there is none."""
        what = f"user: {user_id[:64]}"
        found: dict[str, Any] = await self._connection.call(
            self._connection.admin.a_get_user(keycloak_id(user_id, "user")), what
        )
        return found

    async def users(self, name: str | None = None) -> list[User]:
        query: dict[str, Any] = {} if name is None else {"username": name, "exact": True}
        found = await self._connection.pages("users", **query)
        return [_user(item) for item in found if not item["username"].startswith(_SERVICE_ACCOUNT)]

    async def create_user(
        self, name: str, password: str | None, email: str | None = None, enabled: bool = True, description: str = ""
    ) -> User:
        body: dict[str, Any] = {
            "username": name,
            "enabled": enabled,
            "attributes": {"spelled": [name], "description": [description] if description else []},
        }
        if email:
            body["email"] = email
        if password is not None:
            body["credentials"] = [_credential(password)]
        made = await self._connection.call(self._connection.admin.a_create_user(body), f"user {name}")
        return User(id=public_id(made), name=name, email=email or None, enabled=enabled, description=description)

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
        body = await self.stored_user(user_id)
        attributes = dict(body.get("attributes") or {})
        if name is not None:
            body["username"] = name
            attributes["spelled"] = [name]
        if email is not None:
            body["email"] = email
        if enabled is not None:
            body["enabled"] = enabled
        if description is not None:
            attributes["description"] = [description] if description else []
        if password is not None:
            body["credentials"] = [_credential(password)]
        body["attributes"] = attributes
        await self._connection.call(self._connection.admin.a_update_user(body["id"], body), f"user {user_id[:64]}")
        if password is not None or enabled is False:
            await self._connection.call(self._connection.admin.a_user_logout(body["id"]))
        self._changed()
        return _user(body)

    async def delete_user(self, user_id: str) -> None:
        what = f"user: {user_id[:64]}"
        await self._connection.call(self._connection.admin.a_delete_user(keycloak_id(user_id, "user")), what)
        self._changed()

    async def login_name(self, user_id: str) -> str | None:
        """The name that a user signs in with; None if there is no such user."""
        try:
            return str((await self.stored_user(user_id))["username"])
        except NotFound:
            return None


def _credential(password: str) -> dict[str, Any]:
    return {"type": "password", "value": password, "temporary": False}


def _user(found: dict[str, Any]) -> User:
    attributes = found.get("attributes") or {}
    return User(
        id=public_id(found["id"]),
        name=spelling(found["username"], next(iter(attributes.get("spelled", ())), None)),
        email=found.get("email") or None,
        enabled=found.get("enabled", True),
        description=next(iter(attributes.get("description", ())), ""),
    )
