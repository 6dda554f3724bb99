"""A worker's own token is asked for once, renewed in time, and kept while Keycloak is away."""

import asyncio
import time
from typing import Any

import pytest
from keycloak.exceptions import KeycloakConnectionError, KeycloakPostError

from infra.domain.errors import Unavailable
from infra.identity.service import ClientCredentials
from infra.settings import KeycloakSettings


class Endpoint:
    """Keycloak's token endpoint."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None

    async def a_token(self, **form: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.asked += 1
        return {"access_token": f"token {self.asked}", "expires_in": 100}


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def service(endpoint: Endpoint) -> ClientCredentials:
    service = ClientCredentials(KeycloakSettings())
    service._openid = endpoint
    return service


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


async def test_many_callers_make_one_request(endpoint: Endpoint, service: ClientCredentials) -> None:
    assert set(await asyncio.gather(*(service.token() for _ in range(20)))) == {"token 1"}
    assert endpoint.asked == 1


async def test_it_is_renewed_before_it_expires(service: ClientCredentials, clock: list[float]) -> None:
    assert await service.token() == "token 1"
    clock[0] += 79
    assert await service.token() == "token 1"
    clock[0] += 2
    assert await service.token() == "token 2"


async def test_it_is_kept_while_keycloak_is_away(
    endpoint: Endpoint, service: ClientCredentials, clock: list[float]
) -> None:
    await service.token()
    endpoint.error = KeycloakConnectionError("down")
    clock[0] += 90
    assert await service.token() == "token 1"
    clock[0] += 20
    with pytest.raises(Unavailable):
        await service.token()


async def test_a_wrong_secret_is_said(endpoint: Endpoint, service: ClientCredentials) -> None:
    endpoint.error = KeycloakPostError("invalid_client", 401, b"{}")
    with pytest.raises(Unavailable, match="secret"):
        await service.token()
