"""The way to Keycloak: python-keycloak's clients, with Keycloak's errors turned into the domain's."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar

from keycloak import KeycloakAdmin, KeycloakOpenID, KeycloakOpenIDConnection
from keycloak.exceptions import (
    KeycloakConnectionError,
    KeycloakError,
    KeycloakPostError,
    raise_error_from_response,
)

from infra.domain.errors import BadRequest, Conflict, KilonovaError, NotFound, Unauthorized, Unavailable
from infra.settings import KeycloakSettings

log = logging.getLogger(__name__)

_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
_TIMEOUT_SECONDS = 10
_PAGE = 100
_AT_ONCE = 8
_T = TypeVar("_T")


class Connection:
    """One process's connection to the realm, as the API's client."""

    def __init__(self, settings: KeycloakSettings) -> None:
        self.realm = settings.realm
        self.client = settings.client_id
        server = settings.url.rstrip("/") + "/"
        secret = settings.client_secret.get_secret_value()
        self.openid: Any = KeycloakOpenID(
            server_url=server,
            realm_name=settings.realm,
            client_id=settings.client_id,
            client_secret_key=secret,
            timeout=_TIMEOUT_SECONDS,
        )
        # The default order of names would sign the administration in to another realm.
        self._admin_connection: Any = KeycloakOpenIDConnection(
            server_url=server,
            realm_name=settings.realm,
            user_realm_name=settings.realm,
            client_id=settings.client_id,
            client_secret_key=secret,
            timeout=_TIMEOUT_SECONDS,
        )
        self.admin: Any = KeycloakAdmin(connection=self._admin_connection)
        self._client_key: str | None = None
        self._limit = asyncio.Semaphore(_AT_ONCE)

    async def call(self, awaitable: Awaitable[Any], what: str = "the resource") -> Any:
        """Await one of python-keycloak's calls; ``what`` is what a 404 means.

        Raises:
            NotFound, Conflict, BadRequest: Keycloak's 404, 409, 400.
            Unavailable: Keycloak does not answer, or not as it should.
        """
        try:
            return await awaitable
        except KeycloakError as error:
            raise translated(error, what) from error

    async def raw(self, method: str, path: str, body: Any = None, *, what: str = "the resource", **query: Any) -> Any:
        """An administration call that python-keycloak has no method for; ``path`` is below the realm's."""
        verb = getattr(self._admin_connection, f"a_raw_{method}")
        url = f"admin/realms/{self.realm}/{path}"
        if method == "get":
            response = await self.call(verb(url, **query))
        else:
            response = await self.call(verb(url, data=json.dumps(body) if body is not None else ""))
        if response.status_code >= 400:
            raise translated(KeycloakError(response.text, response.status_code, response.content), what)
        return response.json() if response.content else None

    async def pages(self, path: str, *, what: str = "the resource", **query: Any) -> list[dict[str, Any]]:
        """Everything at ``path``: Keycloak gives out ten at a time unless asked otherwise."""
        found: list[dict[str, Any]] = []
        while True:
            page = await self.raw("get", path, what=what, first=len(found), max=_PAGE, **query)
            found += page
            if len(page) < _PAGE:
                return found

    async def exchange(self, token: str, scope: str) -> Any:
        """Standard token exchange (RFC 8693). python-keycloak's method sends parameters that Keycloak refuses in it.

        Raises:
            KeycloakError: Keycloak refuses, or does not answer.
        """
        return await self._openid_post(
            "token",
            grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
            subject_token=token,
            subject_token_type=_ACCESS_TOKEN,
            requested_token_type=_ACCESS_TOKEN,
            scope=scope,
        )

    async def revoke(self, token: str) -> None:
        """Token revocation (RFC 7009); a token that is not valid any more is as good as revoked."""
        await self.call(self._openid_post("revoke", token=token, token_type_hint="access_token"))  # noqa: S106

    async def _openid_post(self, endpoint: str, **form: str) -> Any:
        credentials = {"client_id": self.client, "client_secret": self.openid.client_secret_key}
        path = f"realms/{self.realm}/protocol/openid-connect/{endpoint}"
        response = await self.openid.connection.a_raw_post(path, data=form | credentials)
        return raise_error_from_response(response, KeycloakPostError)

    async def close(self) -> None:
        await self.openid.connection.aclose()
        await self._admin_connection.keycloak_openid.connection.aclose()
        await self._admin_connection.aclose()

    async def gather(self, calls: Iterable[Awaitable[_T]]) -> list[_T]:
        """Run side by side, a few at a time."""

        async def limited(call: Awaitable[_T]) -> _T:
            async with self._limit:
                return await call

        return list(await asyncio.gather(*(limited(call) for call in calls)))

    async def client_key(self) -> str:
        """Keycloak's id of the API's client, which owns the roles."""
        if self._client_key is None:
            found: str | None = await self.call(self.admin.a_get_client_id(self.client))
            if found is None:
                raise Unavailable(f"Keycloak's realm has no client '{self.client}'.")
            self._client_key = found
        return self._client_key


class RealmPart:
    """Base of the parts of the provider: what they share is the connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _changed(self) -> None:
        """What was known about tokens may no longer hold."""
        raise NotImplementedError


def translated(error: KeycloakError, what: str) -> KilonovaError:
    code = error.response_code
    if isinstance(error, KeycloakConnectionError) or code is None or code >= 500:
        return Unavailable("The Identity Service can't reach Keycloak.")
    if code == 404:
        return NotFound(f"Could not find {what}.")
    if code == 409:
        return Conflict(f"Conflict occurred attempting to store {what}: it exists already.")
    if code == 400:
        return BadRequest(f"Keycloak refuses {what}: {_said(error)}.")
    log.error("Keycloak answered %s to the API's client; its roles or its secret don't fit the realm", code)
    return Unavailable("The Identity Service is not allowed to do this in Keycloak.")


def refused(error: KeycloakError, message: str) -> KilonovaError:
    """What a failed sign-in or exchange is: everything that the caller's input can cause looks the same."""
    if isinstance(error, KeycloakConnectionError) or error.response_code not in (400, 401, 403):
        return translated(error, "the token")
    if _field(error, "error") in ("invalid_client", "unauthorized_client"):
        return translated(KeycloakError("", 403), "the token")
    return Unauthorized(message)


def _field(error: KeycloakError, name: str) -> Any:
    try:
        return json.loads(error.response_body or b"{}").get(name)
    except (ValueError, AttributeError):
        return None


def _said(error: KeycloakError) -> str:
    said = _field(error, "errorMessage") or _field(error, "error_description") or "the input is not valid"
    return str(said)[:200].rstrip(".")
