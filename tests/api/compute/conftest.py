"""The compute service alone: real databases, a verifier that knows a few tokens, and no workflows.

What would start a workflow is recorded; a boot writes the rows that its admission would.
"""

import base64
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from activities.attachments import BegunAttach
from api import start, start_moves, start_volume
from api.auth import Context
from api.compute.routes import build
from api.deps import Services
from infra.db import admission, flavors, images, networks, schema, subnets
from infra.db.boot_requests import Request
from infra.db.engine import Database
from infra.domain.boot import ServerSpec
from infra.domain.errors import Unauthorized
from infra.domain.flavor import Flavor
from infra.domain.identity import IMPLIED, Identity
from infra.domain.image import Image
from infra.domain.move import MoveKind
from infra.domain.network import AllocationPool, Network, NetworkQuota, Subnet
from infra.domain.server import Server, Verb
from infra.domain.transitions import begin
from infra.image.fake import FakeStore
from infra.settings import SealSettings, Settings
from infra.temporal.sealed import Sealer

ALICE, BOB, ADMIN = "a" * 32, "b" * 32, "c" * 32
"""Projects."""
IMAGE = "11111111-1111-4111-8111-111111111111"
NETWORK = "22222222-2222-4222-8222-222222222222"
SUBNET = "33333333-3333-4333-8333-333333333333"
GIB = 1024**3


def identity(user: str, project: str | None, role: str) -> Identity:
    time = datetime.now(UTC)
    return Identity(
        token_id="t",
        user_id=f"{user}-id",
        user_name=user,
        project_id=project,
        roles=frozenset((role, *IMPLIED[role])),
        issued_at=time,
        expires_at=time + timedelta(hours=1),
    )


class Tokens:
    known = {
        "alice": identity("alice", ALICE, "member"),
        "reader": identity("reader", ALICE, "reader"),
        "bob": identity("bob", BOB, "member"),
        "admin": identity("admin", ADMIN, "admin"),
        "unscoped": identity("alice", None, "member"),
        "worker": identity("worker", None, "service"),
    }

    async def verify(self, token: str, *, allow_expired: bool = False) -> Identity:
        if token not in self.known:
            raise Unauthorized("The request you have made requires authentication.")
        return self.known[token]


class Mounted:
    """Puts the service under its prefix, and gives each request its id."""

    def __init__(self, services: Services) -> None:
        self.app = build(services)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        inner = {**scope, "root_path": "/compute", "request_id": f"req-{uuid.uuid4()}"}
        inner["trailing_slash"] = scope["path"].endswith("/")
        await self.app(inner, receive, send)


@dataclass
class Starts:
    """What was asked of ``api.start``."""

    specs: list[ServerSpec] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    verbs: list[tuple[str, Verb]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    attached: list[tuple[str, str, bool]] = field(default_factory=list)
    detached: list[tuple[str, str]] = field(default_factory=list)
    console: list[int | None] = field(default_factory=list)
    runs: list[tuple[str, Verb, Any]] = field(default_factory=list)
    """What was held for a verb by a run of its own, and the run's params."""
    moves: list[tuple[str, MoveKind, dict[str, Any]]] = field(default_factory=list)
    ends: list[tuple[str, Verb]] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        started = (self.specs, self.verbs, self.runs, self.deleted, self.attached, self.detached, self.console)
        return not any((*started, self.moves, self.ends))

    async def move(self, services: Services, context: Context, server: Server, kind: MoveKind, **how: Any) -> None:
        self.moves.append((server.id, kind, how))

    async def end_move(self, services: Services, context: Context, server: Server, verb: Verb) -> None:
        self.ends.append((server.id, verb))

    async def boot(
        self, services: Services, context: Context, spec: ServerSpec, *, idempotency_key: str | None = None
    ) -> start.Booted:
        self.specs.append(spec)
        self.keys.append(idempotency_key)
        request = Request(
            server_ids=tuple(str(uuid.uuid4()) for _ in range(spec.max_count)),
            reservation_id=f"r-{len(self.specs)}",
            request_id=context.request_id,
            project_id=context.project_id,
            user_id=context.user_id,
            is_admin=context.is_admin,
            spec=spec,
        )
        made = await services.db.write(admission.admit, request)
        return start.Booted(tuple(server.id for server in made), request.reservation_id)

    async def run_verb(self, services: Services, context: Context, server: Server, verb: Verb) -> None:
        self.verbs.append((server.id, verb))

    async def hold(
        self, services: Services, context: Context, server: Server, verb: Verb, run: Any, params: Any
    ) -> None:
        begin(verb, server.vm_state, server.task_state)
        self.runs.append((server.id, verb, params))

    async def delete(self, services: Services, context: Context, server: Server) -> None:
        self.deleted.append(server.id)

    async def console_log(self, services: Services, context: Context, server: Server, length: int | None) -> str:
        self.console.append(length)
        return "Booting <guest>\n"

    async def attach_volume(
        self,
        services: Services,
        context: Context,
        server: Server,
        volume_id: str,
        *,
        device: str | None = None,
        delete_on_termination: bool = False,
    ) -> BegunAttach:
        self.attached.append((server.id, volume_id, delete_on_termination))
        return BegunAttach(host="h1", attempt=1, device="vdb")

    async def detach_volume(self, services: Services, context: Context, server: Server, volume_id: str) -> None:
        self.detached.append((server.id, volume_id))


@dataclass
class World:
    services: Services
    http: httpx.AsyncClient
    starts: Starts

    @property
    def db(self) -> Database:
        return self.services.db

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        by: str = "alice",
        version: str | None = None,
        status: int | None = None,
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        sent = {"X-Auth-Token": by} | (headers or {})
        if version is not None:
            sent["X-OpenStack-Nova-API-Version"] = version
        reply = await self.http.request(method, f"/compute{path}", json=body, headers=sent, content=content)
        if status is not None:
            assert reply.status_code == status, (reply.status_code, reply.text)
        return reply

    async def get(self, path: str, **how: Any) -> Any:
        return (await self.call("GET", f"/v2.1{path}", status=200, **how)).json()

    async def boot(self, *, by: str = "alice", version: str | None = None, **fields: Any) -> str:
        """Make a server; its id."""
        reply = await self.call("POST", "/v2.1/servers", boot_body(**fields), by=by, version=version, status=202)
        return str(reply.json()["server"]["id"])


def boot_body(**fields: Any) -> dict[str, Any]:
    return {"server": {"name": "web", "flavorRef": "1", "imageRef": IMAGE, "networks": [{"uuid": NETWORK}]} | fields}


def seed(db: Database) -> None:
    time = datetime.now(UTC)
    db.write_now(flavors.create, Flavor(id="1", name="m1.tiny", vcpus=1, ram_mb=512, disk_gb=1))
    image = Image(
        id=IMAGE,
        name="guest",
        owner=ADMIN,
        status="active",
        visibility="public",
        disk_format="qcow2",
        container_format="bare",
        size=17_000_000,
        virtual_size=GIB,
        created_at=time,
        updated_at=time,
    )
    db.write_now(images.create, image)
    network = Network(
        id=NETWORK, project_id=ADMIN, name="private", shared=True, vni=0, created_at=time, updated_at=time
    )
    db.write_now(networks.create, network, NetworkQuota())
    subnet = Subnet(
        id=SUBNET,
        project_id=ADMIN,
        network_id=NETWORK,
        cidr="10.1.0.0/24",
        gateway_ip="10.1.0.1",
        allocation_pools=(AllocationPool(start="10.1.0.2", end="10.1.0.254"),),
        created_at=time,
        updated_at=time,
    )
    db.write_now(subnets.create, subnet, NetworkQuota())


def _services(db: Database, folder: Path) -> Services:
    settings = Settings(state_dir=folder)
    nothing = cast(Any, None)
    key = SecretStr(base64.b64encode(bytes(32)).decode())
    sealer = Sealer(SealSettings(keys={"k": key}))
    return Services(settings, db, cast(Any, Tokens()), FakeStore(), nothing, nothing, sealer)


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Starts:
    recorder = Starts()
    for name in ("boot", "run_verb", "hold", "delete", "console_log"):
        monkeypatch.setattr(start, name, getattr(recorder, name))
    for name in ("attach", "detach"):
        monkeypatch.setattr(start_volume, name, getattr(recorder, f"{name}_volume"))
    for name in ("move", "end_move"):
        monkeypatch.setattr(start_moves, name, getattr(recorder, name))
    return recorder


@pytest.fixture
async def world(database: Database, starts: Starts, tmp_path: Path) -> AsyncIterator[World]:
    """On both databases, with a flavor, an image and a network."""
    seed(database)
    services = _services(database, tmp_path)
    transport = httpx.ASGITransport(app=Mounted(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://compute") as http:
        yield World(services, http, starts)


@pytest.fixture
def lite_database(tmp_path: Path) -> Iterator[Database]:
    db = Database(f"sqlite:///{tmp_path / 'lite.db'}")
    schema.create_all(db)
    yield db
    db.close()


@pytest.fixture
async def lite(lite_database: Database, starts: Starts, tmp_path: Path) -> AsyncIterator[World]:
    """The same on SQLite alone, for tables of bad input, which no database ever sees."""
    seed(lite_database)
    services = _services(lite_database, tmp_path)
    transport = httpx.ASGITransport(app=Mounted(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://compute") as http:
        yield World(services, http, starts)
