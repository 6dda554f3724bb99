"""A cloud with an administrator and a member, signed in over the Identity API v3."""

from dataclasses import dataclass
from typing import Any, cast

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from api.deps import Services
from api.identity.routes import build
from infra.domain.identity import Project, User
from infra.identity.fake import FakeIdentity
from infra.settings import ApiSettings, Settings

PASSWORD = "correct horse"
DEFAULT = {"domain": {"id": "default"}}


class Door:
    """What stands before the services."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = "/identity" + scope["path"]
        inner = {**scope, "path": path, "raw_path": path.encode(), "root_path": "/identity", "request_id": "req-1"}
        await self.app(inner, receive, send)


@dataclass
class World:
    identity: FakeIdentity
    client: httpx.AsyncClient
    admin: User
    demo: User
    project: Project
    other: Project

    async def sign_in(self, user: str = "Demo", scope: Any = None, **identity: Any) -> httpx.Response:
        password = {"user": {"name": user, "password": PASSWORD, **DEFAULT}}
        auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": password} | identity}
        if scope is not None:
            auth["scope"] = scope
        return await self.client.post("/v3/auth/tokens", json={"auth": auth})

    async def token(self, user: str = "Demo", project: str | None = "demo") -> str:
        scope = {"project": {"name": project, **DEFAULT}} if project else None
        answer = await self.sign_in(user, scope)
        assert answer.status_code == 201, answer.text
        return answer.headers["x-subject-token"]

    async def ask(self, method: str, path: str, token: str, **more: Any) -> httpx.Response:
        headers = {"X-Auth-Token": token, **more.pop("headers", {})}
        return await self.client.request(method, "/v3" + path, headers=headers, **more)

    async def as_admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.ask(method, path, await self.token("admin", "admin"), **more)


@pytest.fixture
async def world() -> World:
    identity = FakeIdentity(remember_seconds=0)
    settings = Settings(api=ApiSettings(public_url="http://cloud.example"))
    nothing = cast(Any, None)
    app = Door(build(Services(settings, nothing, identity, nothing, nothing, nothing, nothing)))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://test")
    admin, demo = await identity.create_user("admin", PASSWORD), await identity.create_user("Demo", PASSWORD)
    home, project = await identity.create_project("admin"), await identity.create_project("demo")
    await identity.grant(admin.id, home.id, "admin")
    await identity.grant(admin.id, None, "admin")
    await identity.grant(demo.id, project.id, "member")
    return World(identity, client, admin, demo, project, home)
