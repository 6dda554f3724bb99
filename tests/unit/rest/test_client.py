from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from infra.domain.errors import Conflict, KilonovaError, NotFound, TooLarge, Unauthorized, Unavailable
from infra.rest.client import RestClient

Answer = Callable[[httpx.Request], httpx.Response]


class Tokens:
    async def token(self) -> str:
        return "service"


@pytest.fixture
async def client() -> AsyncIterator[Callable[[Answer], RestClient]]:
    made: list[RestClient] = []

    def make(answer: Answer) -> RestClient:
        made.append(RestClient("http://cloud", Tokens(), transport=httpx.MockTransport(answer)))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def test_a_call_for_a_user_carries_both_tokens_and_its_key(client: Callable[[Answer], RestClient]) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(201, json={"port": {"id": "p"}})

    found = await client(answer).request("POST", "/network/v2.0/ports", token="user", key="s/1/port", json={"port": {}})
    headers = sent[0].headers
    assert found == {"port": {"id": "p"}}
    assert (headers["x-auth-token"], headers["x-service-token"], headers["idempotency-key"]) == (
        "user",
        "service",
        "s/1/port",
    )


async def test_a_workers_own_call_has_its_token_alone(client: Callable[[Answer], RestClient]) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(204)

    assert await client(answer).request("DELETE", "/x") is None
    assert sent[0].headers["x-auth-token"] == "service"
    assert "x-service-token" not in sent[0].headers


@pytest.mark.parametrize(
    ("code", "body", "kind", "message"),
    [
        (404, {"itemNotFound": {"code": 404, "message": "no such thing"}}, NotFound, "no such thing"),
        (409, {"NeutronError": {"type": "IpInUse", "message": "in use", "detail": ""}}, Conflict, "in use"),
        (401, {"error": {"code": 401, "message": "who?", "title": "Unauthorized"}}, Unauthorized, "who?"),
        (413, {"overLimit": {"code": 413, "message": "too much"}}, TooLarge, "too much"),
        (500, {"computeFault": {"code": 500, "message": "oops"}}, Unavailable, "oops"),
        (503, None, Unavailable, "503"),
    ],
)
async def test_faults_of_every_service_come_back_as_what_they_mean(
    client: Callable[[Answer], RestClient], code: int, body: object, kind: type[KilonovaError], message: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(code, json=body) if body else httpx.Response(code, text="<html>")

    with pytest.raises(kind, match=message):
        await client(answer).request("GET", "/x")


async def test_no_answer_is_something_to_try_again(client: Callable[[Answer], RestClient]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Unavailable):
        await client(answer).request("GET", "/x")
