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

from infra.domain.errors import Unauthorized
from infra.domain.identity import ROLES, Identity, User
from infra.identity.claims import REFUSED, Scope, public_id
from infra.identity.fake_records import Records
from infra.identity.tokens import ALGORITHM, Tokens

ISSUER = "http://127.0.0.1/realms/fake"
CLIENT = "kilonova"
KEY_ID = "throw-away"
LIFE_SECONDS = 3600


@cache
def signing_key() -> rsa.RSAPrivateKey:
    """Made once per process."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def sign(claims: Mapping[str, Any]) -> str:
    return jwt.encode(dict(claims), signing_key(), ALGORITHM, headers={"kid": KEY_ID})


class FakeIdentity(Records):
    """``IdentityProvider`` and ``ServiceTokens``."""

    def __init__(self, remember_seconds: float = 5.0) -> None:
        super().__init__()
        self._revoked: set[str] = set()
        self._own: str | None = None
        self._tokens = Tokens(self, issuer=ISSUER, client=CLIENT, remember_seconds=remember_seconds)

    async def close(self) -> None:
        return

    def _changed(self) -> None:
        self._tokens.forget()

    async def verify(self, token: str, *, allow_expired: bool = False) -> Identity:
        return await self._tokens.verify(token, allow_expired=allow_expired)

    async def password_token(
        self, user: str, password: str, *, by_id: bool = False, project: str | None = None, system: bool = False
    ) -> str:
        found = self._users.get(_hex(user)) if by_id else self._named(user)
        if found is None or not found.enabled or self._passwords[found.id] != password:
            raise Unauthorized(REFUSED)
        return self._issue(found, project, system, secrets.token_hex(8), int(time.time()) + LIFE_SECONDS, grant="ro")

    async def rescope(self, token: str, *, project: str | None = None, system: bool = False) -> str:
        identity = await self.verify(token)
        claims = _unchecked(token)
        user = self._users[identity.user_id]
        return self._issue(user, project, system, claims["sid"], claims["exp"], grant="te")

    async def revoke(self, token: str) -> None:
        self._revoked.add(_unchecked(token)["sid"])
        self._changed()

    async def token(self) -> str:
        """A worker's own token, which it keeps as it does a real one."""
        if self._own is not None and _unchecked(self._own)["exp"] > time.time() + LIFE_SECONDS / 2:
            return self._own
        account = self._named("service-account-kilonova-worker") or await self.create_user(
            "service-account-kilonova-worker", None
        )
        await self.grant(account.id, None, "service")
        expires = int(time.time()) + LIFE_SECONDS
        self._own = self._issue(account, None, True, secrets.token_hex(8), expires, grant="cc")
        return self._own

    def _issue(self, user: User, project: str | None, system: bool, session: str, expires: int, *, grant: str) -> str:
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
            "jti": f"onrt{grant}:{uuid.uuid4()}",
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
        roles = [role for role in ROLES if (user.id, where, role) in self._grants]
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
        claims = _unchecked(token)
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


def _hex(given: str) -> str:
    """An id as it is stored; what is none stays as it is, and is not found."""
    try:
        return public_id(given)
    except ValueError:
        return given


def _unchecked(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims
