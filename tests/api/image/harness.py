"""The image and volume services over HTTP, in memory, with identities that tests name by themselves."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.deps import Services
from infra.db import schema
from infra.db.engine import Database
from infra.domain.errors import Unauthorized
from infra.domain.identity import IMPLIED, Identity
from infra.image.file_store import FileStore
from infra.image.store import ImageStore
from infra.settings import Settings
from infra.volume.backend import VolumeBackend

DEMO = "10000000000000000000000000000001"
OTHER = "20000000000000000000000000000002"
ADMIN = "30000000000000000000000000000003"
PROJECTS = {"demo": DEMO, "other": OTHER, "admin": ADMIN}


class Verifier:
    """Tokens are ``<project>:<role>``, a name or id; ``expired:...`` in front is one that was valid once."""

    async def verify(self, token: str, *, allow_expired: bool = False) -> Identity:
        expired = token.startswith("expired:")
        project, _, role = token.removeprefix("expired:").partition(":")
        if role not in IMPLIED or not project or (expired and not allow_expired):
            raise Unauthorized("The token is not valid.")
        moment = datetime.now(UTC)
        return Identity(
            token_id=token,
            user_id="u" * 32,
            user_name=role,
            project_id=PROJECTS.get(project, project),
            project_name=project,
            roles=frozenset({role, *IMPLIED[role]}),
            issued_at=moment,
            expires_at=moment + timedelta(hours=1),
        )


class Prefixed:
    """What the door does for one service."""

    def __init__(self, name: str, app: ASGIApp) -> None:
        self.name, self.app = name, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/") or "/"
        if path == f"/{self.name}":
            path += "/"
        inner = {**scope, "path": path, "root_path": f"/{self.name}", "request_id": f"req-{uuid.uuid4()}"}
        inner["trailing_slash"] = scope["path"].endswith("/")
        await self.app(inner, receive, send)


@dataclass
class World:
    services: Services
    app: ASGIApp
    prefix: str

    def client(self, token: str | None = "demo:member", **headers: str) -> httpx.AsyncClient:
        if token is not None:
            headers["X-Auth-Token"] = token
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url=f"http://test/{self.prefix}",
            headers=headers,
        )


def make_services(
    folder: Path, settings: Settings, volumes: VolumeBackend | None = None, store: ImageStore | None = None
) -> Services:
    db = Database(f"sqlite:///{folder / 'kilonova.db'}")
    schema.create_all(db)
    return Services(
        settings=settings,
        db=db,
        identity=cast(Any, Verifier()),
        images=store or FileStore(folder / "images"),
        volumes=cast(Any, volumes),
        temporal=cast(Any, None),
        sealer=cast(Any, None),
    )


async def send_cut(app: ASGIApp, path: str, token: str, sent: bytes) -> list[Message]:
    """PUT some data and hang up before it is whole."""
    answers: list[Message] = []
    messages: list[Message] = [
        {"type": "http.request", "body": sent, "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0) if len(messages) > 1 else messages[0]

    async def send(message: Message) -> None:
        answers.append(message)

    headers = [(b"x-auth-token", token.encode()), (b"content-type", b"application/octet-stream")]
    scope: Scope = {
        "type": "http",
        "method": "PUT",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
        "scheme": "http",
        "server": ("test", 80),
    }
    await app(scope, receive, send)
    return answers
