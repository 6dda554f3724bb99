"""A whole stack as a test uses it: the unmodified client, the REST APIs, the guests, and what is there of them."""

import json
import os
import random
import re
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from infra.deploy import clients, demo, seeds, venvs
from infra.deploy.stack import Stack
from infra.settings import Settings

_T = TypeVar("_T")
SLOW = 240
"""Seconds that a guest under emulation gets for what takes five on a machine that does nothing else."""


def until(question: Callable[[], _T], what: str, seconds: float = SLOW, pause: float = 0.3) -> _T:
    """The first answer that is true; asked until then, with a deadline."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(pause)
    return answer


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, from below those that outgoing connections take by themselves."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20000, 30000)
        with socket.socket() as probe:
            if port not in found and probe.connect_ex(("127.0.0.1", port)) != 0:
                found.append(port)
    return found


class Refused(Exception):
    """The ``openstack`` client failed; its message."""


class Rest(httpx.Client):
    """One user of ``clouds.yaml``, signed in; replies come as they are."""

    def __init__(self, settings: Settings, cloud: str) -> None:
        super().__init__(base_url=settings.api_url, timeout=120)
        self.user, self.project = clients.CLOUDS[cloud]
        self.headers["X-OpenStack-Nova-API-Version"] = "2.96"
        self.settings = settings
        self.sign_in()

    def sign_in(self) -> str:
        """A new token, which is used from now on."""
        domain = {"name": "Default"}
        password = self.settings.deploy.passwords[self.user].get_secret_value()
        user = {"name": self.user, "password": password, "domain": domain}
        identity = {"methods": ["password"], "password": {"user": user}}
        scope = {"project": {"name": self.project, "domain": domain}}
        reply = self.post("/identity/v3/auth/tokens", json={"auth": {"identity": identity, "scope": scope}})
        reply.raise_for_status()
        token: str = reply.headers["X-Subject-Token"]
        self.headers["X-Auth-Token"] = token
        return token

    def show(self, path: str, **parameters: str) -> Any:
        reply = self.get(path, params=parameters)
        assert reply.status_code == 200, f"GET {path}: {reply.status_code} {reply.text[:500]}"
        return reply.json()

    def make(self, path: str, body: dict[str, Any]) -> Any:
        reply = self.post(path, json=body)
        assert reply.status_code in (200, 201, 202), f"POST {path}: {reply.status_code} {reply.text[:500]}"
        return reply.json()

    def server(self, server_id: str) -> dict[str, Any] | None:
        reply = self.get(f"/compute/v2.1/servers/{server_id}")
        return reply.json()["server"] if reply.status_code == 200 else None


class World:
    def __init__(self, settings: Settings, stack: Stack, network_id: str) -> None:
        self.settings, self.stack, self.network_id = settings, stack, network_id
        self.demo = Rest(settings, "kilonova")
        self.reader = Rest(settings, "kilonova-reader")
        self.admin = Rest(settings, "kilonova-admin")
        names = self.admin.show("/image/v2/images")["images"]
        self.images = {image["name"]: image["id"] for image in names}

    def sign_in(self) -> None:
        """New tokens for all: a token's life is shorter than a run of all tests on a busy machine."""
        for rest in (self.demo, self.reader, self.admin):
            rest.sign_in()

    def openstack(self, *arguments: str, cloud: str = "kilonova") -> str:
        """What the client printed. Raises Refused."""
        command = [venvs.client(self.settings) / "openstack", *arguments]
        environment = {
            **os.environ,
            "OS_CLIENT_CONFIG_FILE": str(clients.clouds_file(self.settings)),
            "OS_CLOUD": cloud,
        }
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600
        )
        if done.returncode != 0:
            raise Refused(done.stderr.strip())
        return done.stdout

    def client(self, *arguments: str, cloud: str = "kilonova") -> Any:
        """The same, read as JSON."""
        return json.loads(self.openstack(*arguments, "-f", "json", cloud=cloud))

    def boot(self, name: str, /, **changes: Any) -> str:
        """Ask for a server; its id."""
        return str(self.demo.make("/compute/v2.1/servers", {"server": self.request(name, **changes)})["server"]["id"])

    def request(self, name: str, /, **changes: Any) -> dict[str, Any]:
        wanted = {
            "name": name,
            "imageRef": self.images[f"{seeds.IMAGE}-ami"],
            "flavorRef": "1",
            "networks": [{"uuid": self.network_id}],
            **changes,
        }
        return {key: value for key, value in wanted.items() if value is not None}

    def kill(self, program: str) -> None:
        """End a program as a crash would, and return when another process has taken its place and the API answers."""

        def pid() -> int | None:
            return next(line.pid for line in self.stack.status() if line.name == program)

        before = pid()
        self.stack.kill(program)
        until(lambda: pid() not in (None, before), f"{program} is back")
        until(self._answers, "the API answers")

    def _answers(self) -> bool:
        try:
            return self.demo.get("/compute/v2.1/servers").status_code == 200
        except httpx.TransportError:
            return False

    def active(self, server_id: str) -> dict[str, Any]:
        """The server once it is ACTIVE and nothing is done to it."""
        return self.settled(server_id, "ACTIVE")

    def settled(self, server_id: str, status: str) -> dict[str, Any]:
        def asked() -> dict[str, Any] | None:
            server = self.admin.server(server_id)
            assert server is not None, "it is gone"
            done = server["status"] == status and server["OS-EXT-STS:task_state"] is None
            assert done or server["status"] != "ERROR", server.get("fault")
            return server if done else None

        return until(asked, f"server {server_id} is {status}")

    def delete(self, *server_ids: str) -> None:
        """Delete servers and return when they are gone."""
        for server_id in server_ids:
            reply = self.admin.delete(f"/compute/v2.1/servers/{server_id}")
            assert reply.status_code in (204, 404), reply.text
        until(lambda: not any(self.admin.server(each) for each in server_ids), "the servers are gone")

    def purge(self) -> None:
        """Delete what a test that failed has left, so that the next one begins with nothing."""
        every = {"all_tenants": "1"}
        self.delete(*(each["id"] for each in self.admin.show("/compute/v2.1/servers", **every)["servers"]))
        for volume in self.admin.show("/volume/v3/volumes/detail", **every)["volumes"]:
            self.admin.post(f"/volume/v3/volumes/{volume['id']}/action", json={"os-force_delete": {}})
        for port in self.admin.show("/network/v2.0/ports")["ports"]:
            self.admin.delete(f"/network/v2.0/ports/{port['id']}")

    def address(self, server: dict[str, Any]) -> str:
        return str(server["addresses"][seeds.NETWORK][0]["addr"])

    def console(self, server_id: str) -> str:
        body = {"os-getConsoleOutput": {}}
        return str(self.demo.make(f"/compute/v2.1/servers/{server_id}/action", body)["output"])

    def ready(self, server_id: str) -> str:
        """The line in which the guest says that it is up."""

        marks = re.compile(r"kilonova-guest ready .*")
        deadline = time.monotonic() + SLOW
        while not (found := marks.findall(console := self.console(server_id).replace("\r", ""))):
            assert time.monotonic() < deadline, f"the guest did not come up; its console: {console[-2000:]}"
            time.sleep(0.5)
        return str(found[-1])

    def ssh(self, address: str, script: str) -> str:
        """What a script printed that ran in the guest as its user."""
        command = [*demo.ssh(self.settings, self.network_id, address), script]

        def asked() -> subprocess.CompletedProcess[str] | None:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
            # 255 is ssh's own.
            return done if done.returncode != 255 else None

        done = until(asked, f"{address} answers ssh", pause=0.5)
        assert done.returncode == 0, f"{script!r} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    @property
    def demo_project(self) -> str:
        found = self.admin.show("/identity/v3/projects", name="demo")["projects"]
        return str(found[0]["id"])
