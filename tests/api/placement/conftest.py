"""The Placement API over a real database, for callers of every kind."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from sqlmodel import Session
from starlette.types import Receive, Scope, Send

from api.deps import Services
from api.placement.routes import build
from infra.db import aggregates, claims, hosts
from infra.db.engine import Database
from infra.db.tables.servers import ServerRow
from infra.db.types import now
from infra.domain.errors import Unauthorized
from infra.domain.identity import IMPLIED, Identity
from infra.domain.server import VmState
from infra.settings import Settings
from tests.contract.hosts_help import add, claim

VERSION = {"OpenStack-API-Version": "placement 1.39"}
A, B = hosts.host_id("a"), hosts.host_id("b")


def _identity(project: str | None, role: str) -> Identity:
    time = datetime.now(UTC)
    return Identity(
        token_id="t",
        user_id="u",
        user_name="u",
        project_id=project,
        roles=frozenset((role, *IMPLIED[role])),
        issued_at=time,
        expires_at=time + timedelta(hours=1),
    )


class Tokens:
    known = {
        "admin": _identity("c", "admin"),
        "member": _identity("p", "member"),
        "worker": _identity(None, "service"),
    }

    async def verify(self, token: str, *, allow_expired: bool = False) -> Identity:
        if token not in self.known:
            raise Unauthorized("The request you have made requires authentication.")
        return self.known[token]


class Caller:
    def __init__(self, http: httpx.AsyncClient, token: str | None) -> None:
        self.http = http
        self.headers = {"X-Auth-Token": token} if token else {}

    async def __call__(
        self, path: str, *, status: int = 200, method: str = "GET", version: str = "1.39", json: Any = None
    ) -> Any:
        headers = self.headers | {"OpenStack-API-Version": f"placement {version}"}
        reply = await self.http.request(method, f"/placement{path}", headers=headers, json=json)
        assert reply.status_code == status, (reply.status_code, reply.text)
        return reply.json() if reply.content else None


@pytest.fixture
async def http(database: Database, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    unused = cast(Any, None)
    settings = Settings(state_dir=tmp_path)
    app = build(Services(settings, database, cast(Any, Tokens()), unused, unused, unused, unused))

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": "/placement", "request_id": "req-1"}, receive, send)

    transport = httpx.ASGITransport(door, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture
def admin(http: httpx.AsyncClient) -> Caller:
    return Caller(http, "admin")


@pytest.fixture
def world(database: Database) -> Database:
    """Two hosts: a (with a server of project p, and a trait) in an aggregate, b disabled."""
    add(database, "a", traits=("CUSTOM_GOLD",))
    add(database, "b")
    database.write_now(hosts.disable, "b")
    group = database.write_now(aggregates.create, "g")
    database.write_now(aggregates.add_host, group.id, "a")
    database.write_now(server_row, "s1")
    database.write_now(claims.claim, claim("s1", "a", vcpus=2, memory_mb=1024, disk_gb=10))
    return database


def server_row(session: Session, id: str) -> None:
    session.add(
        ServerRow(
            id=id,
            project_id="p",
            user_id="u",
            name=id,
            hostname=id,
            flavor={"id": "1", "name": "m1", "vcpus": 2, "ram_mb": 1024, "disk_gb": 10},
            flavor_id="1",
            vm_state=VmState.ACTIVE,
            reservation_id="r",
            server_metadata={},
            tags=[],
            security_groups=[],
            networks=[],
            block_devices=[],
            scheduler_hints={},
            created_at=now(),
            updated_at=now(),
        )
    )
