"""A worker's own token (OAuth 2.0 client credentials, RFC 6749 section 4.4)."""

import asyncio
import time
from typing import Any

from keycloak import KeycloakOpenID
from keycloak.exceptions import KeycloakError

from infra.domain.errors import Unavailable
from infra.identity.claims import BASE_SCOPE
from infra.settings import KeycloakSettings

_TIMEOUT_SECONDS = 10
_RENEW_AT = 0.8
"""Part of its life after which a token is renewed, so that one given out lasts for the call it is used in."""


class ClientCredentials:
    """``ServiceTokens`` of the workers' client. One request at a time renews; the others wait for it."""

    def __init__(self, settings: KeycloakSettings) -> None:
        self._openid: Any = KeycloakOpenID(
            server_url=settings.url.rstrip("/") + "/",
            realm_name=settings.realm,
            client_id=settings.worker_client_id,
            client_secret_key=settings.worker_client_secret.get_secret_value(),
            timeout=_TIMEOUT_SECONDS,
        )
        self._lock = asyncio.Lock()
        self._token = ""
        self._renew_at = float("-inf")
        self._ends_at = float("-inf")

    async def token(self) -> str:
        """A token that is valid for minutes to come.

        Raises:
            Unavailable: Keycloak does not answer and the last token has expired, or Keycloak refuses this client.
        """
        if time.monotonic() < self._renew_at:
            return self._token
        async with self._lock:
            if time.monotonic() >= self._renew_at:
                await self._renew()
        return self._token

    async def _renew(self) -> None:
        asked = time.monotonic()
        try:
            answer = await self._openid.a_token(grant_type="client_credentials", scope=BASE_SCOPE)
        except KeycloakError as error:
            if error.response_code is not None and error.response_code < 500:
                raise Unavailable("Keycloak refuses the workers' client; its secret may be wrong.") from error
            if asked < self._ends_at:
                return
            raise Unavailable("Keycloak does not answer.") from error
        self._token = answer["access_token"]
        self._renew_at = asked + _RENEW_AT * answer["expires_in"]
        self._ends_at = asked + answer["expires_in"]
