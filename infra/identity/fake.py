"""An identity provider in memory. Its tokens are signed with a throw-away key and look like Keycloak's, so that the
same checks judge them."""

import json
import secrets
import time
import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from infra.domain.errors import Conflict, NotFound, Unauthorized
from infra.domain.identity import ROLES, Identity, Project, User
from infra.identity.claims import REFUSED, Scope, keycloak_id, public_id
from infra.identity.tokens import ALGORITHM, Tokens

ISSUER = "http://127.0.0.1/realms/fake"
CLIENT = "kilonova"
KEY_ID = "throw-away"
LIFE_SECONDS = 3600

Assignment = tuple[str, str | None, str]


@cache
def signing_key() -> rsa.RSAPrivateKey:
    """Made once per process."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def sign(claims: Mapping[str, Any]) -> str:
    return jwt.encode(dict(claims), signing_key(), ALGORITHM, headers={"kid": KEY_ID})


class FakeIdentity:
    """``IdentityProvider`` and ``ServiceTokens``."""

    def __init__(self, remember_seconds: float = 5.0) -> None:
        self._users: dict[str, User] = {}
        self._passwords: dict[str, str | None] = {}
        self._projects: dict[str, Project] = {}
        self._grants: dict[Assignment, None] = {}
        self._revoked: set[str] = set()
        self._tokens = Tokens(self, issuer=ISSUER, client=CLIENT, remember_seconds=remember_seconds)

    async def close(self) -> None:
        return

    # -- tokens

    async def verify(self, token: str, *, allow_expired: bool = False) -> Identity:
        return await self._tokens.verify(token, allow_expired=allow_expired)

    async def password_token(
        self, user: str, password: str, *, by_id: bool = False, project: str | None = None, system: bool = False
    ) -> str:
        found = self._users.get(_hex(user)) if by_id else self._named(user)
        if found is None or not found.enabled or self._passwords[found.id] != password:
            raise Unauthorized(REFUSED)
        return self._issue(found, project, system, secrets.token_hex(8), int(time.time()) + LIFE_SECONDS)

    async def rescope(self, token: str, *, project: str | None = None, system: bool = False) -> str:
        identity = await self.verify(token)
        claims = jwt.decode(token, options={"verify_signature": False})
        return self._issue(self._users[identity.user_id], project, system, claims["sid"], claims["exp"])

    async def revoke(self, token: str) -> None:
        self._revoked.add(jwt.decode(token, options={"verify_signature": False})["sid"])
        self._tokens.forget()

    async def token(self) -> str:
        """A worker's own token."""
        account = self._named("service-account-kilonova-worker") or await self.create_user(
            "service-account-kilonova-worker", None
        )
        await self.grant(account.id, None, "service")
        return self._issue(account, None, True, secrets.token_hex(8), int(time.time()) + LIFE_SECONDS)

    def _issue(self, user: User, project: str | None, system: bool, session: str, expires: int) -> str:
        scope = "system" if system else ""
        if project is not None:
            found = self._projects.get(_hex(project)) or self._project_named(project)
            if found is None:
                raise Unauthorized(REFUSED)
            scope = f"organization:{found.id}"
        claims = {
            "typ": "Bearer",
            "iss": ISSUER,
            "aud": CLIENT,
            "sub": str(uuid.UUID(user.id)),
            "jti": str(uuid.uuid4()),
            "sid": session,
            "iat": int(time.time()),
            "exp": expires,
            "scope": scope,
            "preferred_username": user.name.lower(),
            "name": user.name,
        }
        claims |= self._now(user, scope)
        if scope and not ("organization" in claims or "system" in claims):
            raise Unauthorized(REFUSED)
        return sign(claims)

    def _now(self, user: User, scope: str) -> dict[str, Any]:
        """The claims that say what a user may in a scope now; none where that is nothing."""
        kind, _, project_id = scope.partition(":")
        where = project_id or None
        roles = [role for (holder, place, role) in self._grants if holder == user.id and place == where]
        if not scope or not roles:
            return {}
        if kind == "system":
            return {"system": {"roles": roles}}
        if not self._projects[project_id].enabled:
            return {}
        place = {"id": str(uuid.UUID(project_id)), "resource_access": {CLIENT: {"roles": roles}}}
        return {"organization": {project_id: place}}

    async def keys(self) -> Mapping[str, Any]:
        key = json.loads(RSAAlgorithm.to_jwk(signing_key().public_key()))
        return {"keys": [key | {"kid": KEY_ID, "use": "sig", "alg": ALGORITHM}]}

    async def introspect(self, token: str) -> Mapping[str, Any]:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        user = self._users.get(public_id(claims["sub"]))
        if user is None or not user.enabled or claims["sid"] in self._revoked or claims["exp"] <= time.time():
            return {"active": False}
        for name in ("organization", "system"):
            claims.pop(name, None)
        return claims | self._now(user, claims["scope"]) | {"active": True, "name": user.name}

    async def standing(self, user_id: str, scope: Scope) -> Scope:
        user = self._users.get(public_id(user_id))
        project = None if scope.project_id is None else self._projects.get(scope.project_id)
        if user is None or not user.enabled:
            raise Unauthorized(REFUSED)
        if scope == Scope():
            return scope
        if scope.project_id is not None and (project is None or not project.enabled):
            raise Unauthorized(REFUSED)
        roles = frozenset(await self.roles_of(user.id, scope.project_id))
        if not roles:
            raise Unauthorized(REFUSED)
        return Scope(scope.project_id, scope.system, roles)

    async def project_name(self, project_id: str) -> str:
        return self._projects[project_id].name

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
        self._tokens.forget()
        return self._users[key]

    async def delete_user(self, user_id: str) -> None:
        key = self._known_user(user_id)
        del self._users[key], self._passwords[key]
        self._grants = {grant: None for grant in self._grants if grant[0] != key}
        self._tokens.forget()

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

    async def create_project(self, name: str, description: str = "", enabled: bool = True) -> Project:
        if self._project_named(name) is not None:
            raise Conflict(f"Conflict occurred attempting to store project {name}: it exists already.")
        project = Project(id=uuid.uuid4().hex, name=name, description=description, enabled=enabled)
        self._projects[project.id] = project
        return project

    async def update_project(
        self, project_id: str, *, name: str | None = None, description: str | None = None, enabled: bool | None = None
    ) -> Project:
        key = self._known_project(project_id)
        other = None if name is None else self._project_named(name)
        if other is not None and other.id != key:
            raise Conflict(f"Conflict occurred attempting to store project {name}: it exists already.")
        changes = _given({"name": name, "description": description, "enabled": enabled})
        self._projects[key] = self._projects[key].model_copy(update=changes)
        self._tokens.forget()
        return self._projects[key]

    async def delete_project(self, project_id: str) -> None:
        key = self._known_project(project_id)
        del self._projects[key]
        self._grants = {grant: None for grant in self._grants if grant[1] != key}
        self._tokens.forget()

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
        self._tokens.forget()

    async def revoke_role(self, user_id: str, project_id: str | None, role: str) -> None:
        assignment = self._assignment(user_id, project_id, role)
        if assignment not in self._grants:
            raise NotFound(f"Could not find role assignment with role: {role}, user: {user_id[:64]}.")
        del self._grants[assignment]
        self._tokens.forget()

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


def _hex(given: str) -> str:
    """An id as it is stored; what is none stays as it is, and is not found."""
    try:
        return public_id(given)
    except ValueError:
        return given


def _given(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if value is not None}
