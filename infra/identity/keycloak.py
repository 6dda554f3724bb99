"""The identity provider on Keycloak. A token that it gives out is Keycloak's own access token."""

import secrets
from collections.abc import Mapping
from typing import Any

from keycloak.exceptions import KeycloakError

from infra.domain.errors import NotFound, Unauthorized
from infra.domain.identity import Identity
from infra.identity.claims import BASE_SCOPE, REFUSED, Scope
from infra.identity.connection import Connection, refused, translated
from infra.identity.logins import Logins
from infra.identity.projects import Projects
from infra.identity.roles import Roles
from infra.identity.tokens import Tokens
from infra.identity.users import Users
from infra.settings import Settings


class KeycloakProvider(Users, Projects, Roles):
    """``IdentityProvider`` on the realm of ``settings.keycloak``, and the authority on its tokens."""

    def __init__(self, settings: Settings) -> None:
        keycloak = settings.keycloak
        self._logins = Logins()
        super().__init__(Connection(keycloak))
        self._tokens = Tokens(
            self,
            issuer=f"{keycloak.url.rstrip('/')}/realms/{keycloak.realm}",
            client=keycloak.client_id,
            remember_seconds=keycloak.introspection_seconds,
        )

    async def close(self) -> None:
        await self._connection.close()

    async def verify(self, token: str, *, allow_expired: bool = False) -> Identity:
        return await self._tokens.verify(token, allow_expired=allow_expired)

    async def password_token(
        self, user: str, password: str, *, by_id: bool = False, project: str | None = None, system: bool = False
    ) -> str:
        generation = self._tokens.generation
        name = await self.login_name(user) if by_id else user
        scope = await self._scope(project, system)
        # Whoever does not exist is asked for all the same: an answer at once would tell.
        name = name or secrets.token_hex(16)
        openid = self._connection.openid
        token = await self._logins.one(
            name, lambda: self._ask(openid.a_token(name, password, scope=scope or BASE_SCOPE))
        )
        if scope is None:
            raise Unauthorized(REFUSED)
        return await self._scoped(token, project, system, generation)

    async def rescope(self, token: str, *, project: str | None = None, system: bool = False) -> str:
        generation = self._tokens.generation
        await self.verify(token)
        scope = await self._scope(project, system)
        if scope is None:
            raise Unauthorized(REFUSED)
        exchanged = await self._ask(self._connection.exchange(token, scope))
        return await self._scoped(exchanged, project, system, generation)

    async def _scope(self, project: str | None, system: bool) -> str | None:
        """The scope to ask Keycloak for; None if there is no such project."""
        if project is None:
            return "system" if system else BASE_SCOPE
        try:
            alias = str((await self.find(project))["alias"])
        except NotFound:
            return None
        # An alias given in Keycloak's console may hold what can't stand in a list of scopes.
        return None if any(letter.isspace() for letter in alias) else f"organization:{alias}"

    async def _ask(self, call: Any) -> str:
        try:
            return str((await call)["access_token"])
        except KeycloakError as error:
            raise refused(error, REFUSED) from error

    async def _scoped(self, token: str, project: str | None, system: bool, generation: int) -> str:
        """Keycloak gives a token without the scope where the user has no role in it."""
        identity = await self._tokens.issued(token, generation)
        if (project is not None and identity.project_id is None) or (system and not identity.system):
            raise Unauthorized(REFUSED)
        return token

    async def revoke(self, token: str) -> None:
        """End this token and those exchanged from it (RFC 7009)."""
        await self._connection.revoke(token)
        self._changed()

    def _changed(self) -> None:
        self._tokens.forget()

    async def keys(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._connection.call(self._connection.openid.a_certs())
        return found

    async def introspect(self, token: str) -> Mapping[str, Any]:
        try:
            answer: Mapping[str, Any] = await self._connection.openid.a_introspect(token)
        except KeycloakError as error:
            # So Keycloak answers when the token's project is disabled or gone.
            if error.response_code == 400:
                return {"active": False}
            raise translated(error, "the token") from error
        return answer

    async def standing(self, user_id: str, scope: Scope) -> Scope:
        try:
            user = await self.user(user_id)
            project = None if scope.project_id is None else await self.project(scope.project_id)
        except NotFound as error:
            raise Unauthorized(REFUSED) from error
        if not user.enabled or (project is not None and not project.enabled):
            raise Unauthorized(REFUSED)
        if scope == Scope():
            return scope
        roles = frozenset(await self.roles_of(user_id, scope.project_id))
        if not roles:
            raise Unauthorized(REFUSED)
        return Scope(scope.project_id, scope.system, roles)

    async def project_name(self, project_id: str) -> str:
        try:
            return await super().project_name(project_id)
        except NotFound as error:
            raise Unauthorized(REFUSED) from error
