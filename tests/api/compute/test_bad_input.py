"""Whatever is sent to whichever route, by whomever: a fault in its form, and never a failure of the service."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.routing import APIRoute

from api.compute.routes import RESOURCES
from tests.api.compute.conftest import World

PARTS = [
    "..",
    "%",
    "a" * 300,
    "\u202e",
    "'\"; DROP TABLE servers; --",
    "<b>",
    "\x01",
    "0",
    "-1",
    "99999999999999999999",
]
BODIES: list[Any] = [
    None,
    {},
    [],
    "text",
    12,
    {"server": None},
    {"server": {}},
    {"server": {"name": {"a": [1]}}},
    {"metadata": [["a"]]},
    {"meta": {"a": {}}},
    {"tags": {"a": "b"}},
    {"keypair": []},
    {"flavor": {"id": [], "ram": {}, "name": 1}},
    {"extra_specs": None},
    {"quota_set": {"cores": None}},
    {"aggregate": {"name": []}},
    {"server_group": {"name": "g", "policies": "affinity"}},
    {"volumeAttachment": {"volumeId": []}},
    {"host": [], "binary": {}},
    {"status": ["enabled"]},
    {"reboot": {"type": []}},
    {"os-getConsoleOutput": []},
    {"lock": []},
    {"os-resetState": {"state": []}},
    {"add_host": [], "set_metadata": 1},
    {"addTenantAccess": []},
    {"a": "\U0001f600"},
    {"a" * 10_000: 1},
]
QUERIES = ["limit=%F0%9F%98%80", "marker=%27", "name=%5B", "status=%01", "is_public=%00", "offset=-1", "user_id=%C3%28"]
BOUNDS = ("2.1", "2.96")


ROUTES = sorted(
    (method, f"/v2.1{route.path}")
    for resource in RESOURCES
    for route in resource.router.routes
    if isinstance(route, APIRoute)
    for method in route.methods
)


def filled(path: str, part: str, server_id: str) -> str:
    """A route's path with a real server, so that what comes after it is reached."""
    path = path.replace("{server_id}", server_id)
    return re.sub(r"\{\w+\}", quote(part, safe=""), path)


@pytest.mark.parametrize("by", ["alice", "admin"])
async def test_no_input_makes_the_service_fail(world: World, by: str) -> None:
    assert len(ROUTES) > 80
    server_id = await world.boot()
    failed = []
    for number, (method, path) in enumerate(ROUTES):
        version = BOUNDS[number % 2]
        sent: list[tuple[str, Any]] = [(filled(path, part, server_id), None) for part in PARTS if "{" in path]
        sent += [(filled(path, PARTS[0], part), None) for part in map(quote, PARTS) if "{server_id}" in path]
        if method in ("POST", "PUT"):
            sent += [(filled(path, "1", server_id), body) for body in BODIES]
        if method == "GET":
            sent += [(f"{filled(path, '1', server_id)}?{query}", None) for query in QUERIES]
        for address, body in sent:
            reply = await world.call(method, address, body, by=by, version=version)
            form_is_right = reply.status_code < 400 or next(iter(reply.json().values()))["code"] == reply.status_code
            if reply.status_code == 500 or not form_is_right:
                failed.append((method, address[:80], str(body)[:60], reply.status_code, reply.text[:80]))
    assert failed == []
