"""Checks tokens: locally whether Keycloak made them for us, then by introspection whether they still hold.

The local part follows RFC 8725 (JSON Web Token Best Current Practices): one pinned algorithm, issuer, audience and
kind of token checked. The second part is remembered for a few seconds, so that a token used often costs next to
nothing; that time is how long a revoked token or a lost role goes unnoticed in a process other than the one
through which it was revoked.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt

from infra.domain.errors import Unauthorized
from infra.domain.identity import Identity
from infra.identity.claims import REFUSED, Scope, identity_of, scope_of

ALGORITHM = "RS256"
MAX_TOKEN_CHARACTERS = 8192
ALLOWED_AGE_SECONDS = 48 * 3600
"""How long after its expiry a token is still accepted beside a service token (Keystone's ``allow_expired_window``)."""
_REMEMBERED = 10_000
_KEY_REFETCH_SECONDS = 10.0


class Authority(Protocol):
    """Who knows the keys and the present state of users and roles: Keycloak, or a fake."""

    async def keys(self) -> Mapping[str, Any]:
        """The realm's JSON Web Key Set."""
        ...

    async def introspect(self, token: str) -> Mapping[str, Any]:
        """RFC 7662: the claims as they are now with ``active``."""
        ...

    async def standing(self, user_id: str, scope: Scope) -> Scope:
        """``scope`` with the roles the user has there now. Unauthorized if user or project is disabled or gone."""
        ...

    async def project_name(self, project_id: str) -> str: ...


@dataclass(frozen=True)
class _Judged:
    identity: Identity | None
    at: float
    expires: float
    expired: bool


class Tokens:
    """A ``TokenVerifier`` on any authority."""

    def __init__(self, authority: Authority, *, issuer: str, client: str, remember_seconds: float) -> None:
        self._authority = authority
        self._issuer = issuer
        self._client = client
        self._remember = remember_seconds
        self._judged: OrderedDict[bytes, _Judged] = OrderedDict()
        self._running: dict[bytes, asyncio.Task[_Judged]] = {}
        self._generation = 0
        self._keys: dict[str, jwt.PyJWK] = {}
        self._keys_at = float("-inf")
        self._keys_lock = asyncio.Lock()

    async def verify(self, token: str, *, allow_expired: bool = False) -> Identity:
        if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
            raise Unauthorized(REFUSED)
        digest = _digest(token)
        judged = self._recall(digest)
        if judged is None:
            judged = await self._judge_once(digest, token, allow_expired)
        if judged.identity is None or (judged.expired and not allow_expired):
            raise Unauthorized(REFUSED)
        return judged.identity

    @property
    def generation(self) -> int:
        """Changes whenever what was known is forgotten."""
        return self._generation

    async def issued(self, token: str, generation: int) -> Identity:
        """The identity of a token that Keycloak has given us just now: there is nothing newer to ask for.

        ``generation`` is from before it was asked for; what was taken away since is found out at the next use.
        """
        claims, at = await self._checked(token), time.monotonic()
        identity = await self._identity(claims, scope_of(claims, self._client))
        self._keep(_digest(token), _Judged(identity, at, claims["exp"], False), generation)
        return identity

    def forget(self) -> None:
        """Ask Keycloak anew for every token: something was revoked, taken away or disabled."""
        self._generation += 1
        self._judged.clear()
        self._running.clear()

    def _recall(self, digest: bytes) -> _Judged | None:
        judged = self._judged.get(digest)
        if judged is None or judged.at + self._remember <= time.monotonic():
            return None
        return judged if judged.expired or judged.expires > time.time() else None

    async def _judge_once(self, digest: bytes, token: str, allow_expired: bool) -> _Judged:
        claims = await self._checked(token)
        expired = claims["exp"] <= time.time()
        if expired and not allow_expired:
            raise Unauthorized(REFUSED)
        task = self._running.get(digest)
        if task is None:
            task = asyncio.create_task(self._judge(digest, token, claims, expired))
            self._running[digest] = task
        # A caller that is cancelled doesn't take the answer from those that wait with it.
        return await asyncio.shield(task)

    async def _judge(self, digest: bytes, token: str, claims: Mapping[str, Any], expired: bool) -> _Judged:
        generation, at = self._generation, time.monotonic()
        try:
            try:
                identity = await (self._aged(claims) if expired else self._current(token))
            except Unauthorized:
                identity = None
            judged = _Judged(identity, at, claims["exp"], expired)
            self._keep(digest, judged, generation)
            return judged
        finally:
            if generation == self._generation:
                self._running.pop(digest, None)

    def _keep(self, digest: bytes, judged: _Judged, generation: int) -> None:
        if generation == self._generation:
            self._judged[digest] = judged
            while len(self._judged) > _REMEMBERED:
                self._judged.popitem(last=False)

    async def _current(self, token: str) -> Identity:
        claims = await self._authority.introspect(token)
        if claims.get("active") is not True:
            raise Unauthorized(REFUSED)
        return await self._identity(claims, scope_of(claims, self._client))

    async def _aged(self, claims: Mapping[str, Any]) -> Identity:
        """An expired token can't be introspected; what it was good for is asked of the users and roles as they are now.

        A revocation isn't known beyond the token's expiry. That is the price of letting work go on that outlives the
        token, and why only those who hold a service token may send it.
        """
        if claims["exp"] + ALLOWED_AGE_SECONDS <= time.time():
            raise Unauthorized(REFUSED)
        scope = await self._authority.standing(claims["sub"], scope_of(claims, self._client))
        return await self._identity(claims, scope)

    async def _identity(self, claims: Mapping[str, Any], scope: Scope) -> Identity:
        name = None if scope.project_id is None else await self._authority.project_name(scope.project_id)
        return identity_of(claims, scope, name)

    async def _checked(self, token: str) -> Mapping[str, Any]:
        """The claims of a token that Keycloak signed for us, whatever its age."""
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid")))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._client,
                options={"require": ["exp", "iat", "jti", "sub", "iss", "aud"], "verify_exp": False},
            )
        # Deeply nested JSON in a made-up header ends the parser in the second.
        except (jwt.PyJWTError, RecursionError) as error:
            raise Unauthorized(REFUSED) from error
        # An id token has the same signature, issuer and audience.
        if claims.get("typ") != "Bearer":
            raise Unauthorized(REFUSED)
        return claims

    async def _key(self, kid: str) -> jwt.PyJWK:
        if kid not in self._keys:
            async with self._keys_lock:
                # Made-up key ids must not make us ask Keycloak each time.
                if kid not in self._keys and time.monotonic() - self._keys_at >= _KEY_REFETCH_SECONDS:
                    found = (await self._authority.keys())["keys"]
                    usable = [key for key in found if key.get("use") == "sig" and key.get("kty") == "RSA"]
                    self._keys = {key["kid"]: jwt.PyJWK(key, ALGORITHM) for key in usable}
                    self._keys_at = time.monotonic()
        if kid not in self._keys:
            raise Unauthorized(REFUSED)
        return self._keys[kid]


def _digest(token: str) -> bytes:
    """What a token is remembered by, so that no copy of it lies about."""
    return hashlib.sha256(token.encode()).digest()
