"""What holds for every service, whatever is behind it."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError
from temporalio.service import RPCError, RPCStatusCode

from api import app as door
from api.faults import compute_style, install, network_style


def _failing(style: Any, error: Exception) -> FastAPI:
    app = FastAPI(redirect_slashes=False)
    app.state.services = SimpleNamespace(settings=SimpleNamespace(api_url="http://cloud"))

    @app.get("/fails")
    async def fails() -> None:
        raise error

    @app.get("/")
    async def root() -> dict[str, str]:
        return {"found": "root"}

    install(app, style)
    return app


async def _client(monkeypatch: pytest.MonkeyPatch, error: Exception) -> httpx.AsyncClient:
    builders = {
        "compute": lambda services: _failing(compute_style, error),
        "network": lambda services: _failing(network_style, error),
    }
    monkeypatch.setattr(door, "BUILDERS", builders)
    services = SimpleNamespace(settings=SimpleNamespace(api_url="http://cloud"))
    transport = httpx.ASGITransport(door.Door(services), raise_app_exceptions=False)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://cloud")


@pytest.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    async with await _client(monkeypatch, RuntimeError("secret detail")) as found:
        yield found


@pytest.mark.parametrize("path", ["/compute", "/compute/", "//compute//"])
async def test_a_service_answers_with_and_without_slashes_and_never_redirects(
    client: httpx.AsyncClient, path: str
) -> None:
    reply = await client.get(f"http://cloud{path}")
    assert (reply.status_code, reply.json()) == (200, {"found": "root"})
    assert reply.headers["x-openstack-request-id"] == reply.headers["x-compute-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [("GET", "/compute/nothing", 404, "nothing at that URL"), ("PUT", "/compute/", 405, "PUT is not available")],
)
async def test_what_a_service_does_not_have_is_said_in_its_form(
    client: httpx.AsyncClient, method: str, path: str, status: int, said: str
) -> None:
    reply = await client.request(method, path)
    [fault] = reply.json().values()
    assert (reply.status_code, fault["code"]) == (status, status)
    assert said in fault["message"]


async def test_an_unexpected_error_tells_nothing_of_itself(client: httpx.AsyncClient) -> None:
    reply = await client.get("/compute/fails")
    assert reply.status_code == 500
    assert "secret detail" not in reply.text
    assert reply.json()["computeFault"]["code"] == 500


@pytest.mark.parametrize(
    "error",
    [OperationalError("SELECT 1", {}, Exception("gone")), RPCError("gone", RPCStatusCode.UNAVAILABLE, b"")],
    ids=["database", "temporal"],
)
async def test_what_is_away_for_a_while_is_a_503_that_says_when_to_come_back(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async with await _client(monkeypatch, error) as client:
        reply = await client.get("/network/fails")
    assert reply.status_code == 503
    assert reply.headers["retry-after"] == "5"
    assert reply.json()["NeutronError"]["type"] == "ServiceUnavailable"


@pytest.mark.parametrize("path", ["/compute/a%00b", "/compute/?name=a%00b"])
async def test_a_nul_in_a_url_is_a_bad_request(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 400


async def test_an_unknown_service_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/object-store/")).status_code == 404
