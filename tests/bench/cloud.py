"""The stack as the benchmark uses it: one signed-in user, few requests, exact times."""

import asyncio
import time
from typing import Any

import httpx

from infra.deploy.clients import CLOUDS
from infra.settings import Settings

POLL_SECONDS = 0.02


class BenchCloud:
    """A user of ``clouds.yaml``; use as an async context."""

    def __init__(self, settings: Settings, cloud: str) -> None:
        self._settings = settings
        self._cloud = cloud
        limits = httpx.Limits(max_connections=200, keepalive_expiry=30)
        self.http = httpx.AsyncClient(base_url=settings.api_url, timeout=120, limits=limits)

    async def __aenter__(self) -> "BenchCloud":
        user, project = CLOUDS[self._cloud]
        domain = {"name": "Default"}
        password = self._settings.deploy.passwords[user].get_secret_value()
        named = {"name": user, "password": password, "domain": domain}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": named}},
            "scope": {"project": {"name": project, "domain": domain}},
        }
        reply = await self.http.post("/identity/v3/auth/tokens", json={"auth": auth})
        reply.raise_for_status()
        self.http.headers["X-Auth-Token"] = reply.headers["X-Subject-Token"]
        self.project_id = reply.json()["token"]["project"]["id"]
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.aclose()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """A request that is told to come back later does."""
        while True:
            reply = await self.http.request(method, path, json=body)
            if reply.status_code not in (429, 503):
                break
            await asyncio.sleep(int(reply.headers["Retry-After"]))
        reply.raise_for_status()
        return reply.json() if reply.content else None

    async def boot(self, name: str, **asked: Any) -> tuple[str, float, float]:
        """POST a server; returns its id, the seconds until the answer, and when it was sent."""
        began = time.perf_counter()
        answer = await self.call("POST", "/compute/v2.1/servers", {"server": {"name": name, **asked}})
        return str(answer["server"]["id"]), time.perf_counter() - began, began

    async def until_active(self, server_id: str, *, not_before: float = 0.0) -> None:
        """Polls from ``not_before`` seconds on: asking earlier than it can be so only takes the CPU from the boot."""
        await asyncio.sleep(not_before)
        while True:
            server = (await self.call("GET", f"/compute/v2.1/servers/{server_id}"))["server"]
            if server["status"] == "ACTIVE":
                return
            if server["status"] == "ERROR":
                raise RuntimeError(f"Server {server_id} did not boot: {server['fault']['message']}")
            await asyncio.sleep(POLL_SECONDS)

    async def until_all_active(self, server_ids: list[str]) -> None:
        """Polls the list, so that watching many costs as much as watching one."""
        wanted = set(server_ids)
        while wanted:
            servers = (await self.call("GET", "/compute/v2.1/servers/detail?limit=1000"))["servers"]
            status = {server["id"]: server["status"] for server in servers}
            failed = [server_id for server_id in wanted if status.get(server_id) == "ERROR"]
            if failed:
                raise RuntimeError(f"{len(failed)} of {len(server_ids)} servers did not boot, first {failed[0]}")
            wanted = {server_id for server_id in wanted if status.get(server_id) != "ACTIVE"}
            await asyncio.sleep(5 * POLL_SECONDS)

    async def delete(self, *server_ids: str) -> float:
        """Delete servers and wait until they are gone; returns the seconds it took."""
        began = time.perf_counter()
        await asyncio.gather(*(self.call("DELETE", f"/compute/v2.1/servers/{one}") for one in server_ids))
        left = set(server_ids)
        while left:
            servers = (await self.call("GET", "/compute/v2.1/servers?limit=1000"))["servers"]
            left &= {server["id"] for server in servers}
            await asyncio.sleep(5 * POLL_SECONDS)
        return time.perf_counter() - began
