"""The Network Service alone, behind a verifier that knows a few tokens."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from api.deps import Services
from api.network.routes import build
from infra.db.engine import Database
from infra.domain.errors import Unauthorized
from infra.domain.identity import IMPLIED, Identity
from infra.settings import Settings

ALICE, BOB = "a" * 32, "b" * 32
"""Two projects."""

Net = dict[str, Any]
"""Ids of a network and its subnet."""


def identity(project: str | None, role: str) -> Identity:
    time = datetime.now(UTC)
    return Identity(
        token_id="t", user_id="u", user_name="u", project_id=project, roles=frozenset((role, *IMPLIED[role])),
        issued_at=time, expires_at=time + timedelta(hours=1),
    )  # fmt: skip


class Tokens:
    known = {
        "alice": identity(ALICE, "member"),
        "alice-reader": identity(ALICE, "reader"),
        "bob": identity(BOB, "member"),
        "admin": identity("c" * 32, "admin"),
        "worker": identity(None, "service"),
    }

    async def verify(self, token: str, *, allow_expired: bool = False) -> Identity:
        if token not in self.known:
            raise Unauthorized("The request you have made requires authentication.")
        return self.known[token]


class Told:
    """Temporal, as far as the Network Service uses it: the hosts whose runs were started or told."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def start_workflow(self, run: Any, params: Any, *, id: str, start_signal: str, **options: Any) -> None:
        assert start_signal == "changed"
        self.ids.append(id)


class Caller:
    """Requests of one user; ``service`` sends a worker's token beside it."""

    def __init__(self, http: httpx.AsyncClient, token: str, *, service: bool = False) -> None:
        self.http = http
        self.headers = {"X-Auth-Token": token} | ({"X-Service-Token": "worker"} if service else {})

    async def __call__(
        self, method: str, path: str, body: Any = None, *, status: int | None = None, key: str | None = None
    ) -> Any:
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        reply = await self.http.request(method, f"/network/v2.0{path}", json=body, headers=headers)
        if status is not None:
            assert reply.status_code == status, (reply.status_code, reply.text)
        return reply.json() if reply.content else None

    async def make(self, kind: str, **values: Any) -> dict[str, Any]:
        path = {"security_group": "security-groups", "security_group_rule": "security-group-rules"}.get(
            kind, f"{kind}s"
        )
        made = await self("POST", f"/{path}", {kind: values}, status=201)
        return cast(dict[str, Any], made[kind])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def http(database: Database, settings: Settings, told: Told) -> AsyncIterator[httpx.AsyncClient]:
    unused = cast(Any, None)
    app = build(Services(settings, database, cast(Any, Tokens()), unused, unused, cast(Any, told), unused))

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": "/network", "request_id": "req-1"}, receive, send)

    transport = httpx.ASGITransport(door, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture
def alice(http: httpx.AsyncClient) -> Caller:
    return Caller(http, "alice")


@pytest.fixture
def bob(http: httpx.AsyncClient) -> Caller:
    return Caller(http, "bob")


@pytest.fixture
def reader(http: httpx.AsyncClient) -> Caller:
    return Caller(http, "alice-reader")


@pytest.fixture
def admin(http: httpx.AsyncClient) -> Caller:
    return Caller(http, "admin")


@pytest.fixture
def worker(http: httpx.AsyncClient) -> Caller:
    """A worker that acts with Alice's token."""
    return Caller(http, "alice", service=True)


async def subnet_of(caller: Caller, cidr: str, **network: Any) -> Net:
    """A network with one subnet."""
    made = await caller.make("network", **network)
    subnet = await caller.make("subnet", network_id=made["id"], ip_version=4, cidr=cidr)
    return {"id": made["id"], "subnet": subnet["id"]}


async def refused(caller: Caller, method: str, path: str, body: Any, status: int) -> str:
    return str((await caller(method, path, body, status=status))["NeutronError"]["type"])


@pytest.fixture
async def outside(admin: Caller) -> Net:
    """An external network, 203.0.113.0/24, of the administrators."""
    return await subnet_of(admin, "203.0.113.0/24", name="public", **{"router:external": True})


@pytest.fixture
async def inside(alice: Caller) -> Net:
    """Alice's network, 10.0.0.0/24."""
    return await subnet_of(alice, "10.0.0.0/24")
