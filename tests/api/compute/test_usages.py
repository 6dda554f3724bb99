"""``os-simple-tenant-usage``: hours of servers, their resources and their states, and who may ask."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.db import servers
from infra.db.tables.servers import ServerRow
from tests.api.compute.conftest import ALICE, BOB, World
from tests.api.compute.test_server_views import active_server

DAY = datetime(2026, 3, 1, tzinfo=UTC)
PATH = "/os-simple-tenant-usage"
MARCH = "start=2026-03-01T00:00:00&end=2026-03-02T00:00:00"


async def ran(world: World, launched: datetime, terminated: datetime | None = None) -> str:
    server_id = await active_server(world)
    world.db.write_now(_date, server_id, launched, terminated)
    return server_id


def _date(session: Any, server_id: str, launched: datetime, terminated: datetime | None) -> None:
    if terminated is not None:
        servers.set_deleted(session, server_id)
    row = session.get(ServerRow, server_id)
    row.launched_at, row.terminated_at = launched, terminated
    session.add(row)


async def test_a_project_sees_what_its_servers_used_in_the_period(world: World) -> None:
    goes_on = await ran(world, DAY - timedelta(days=1))
    ended = await ran(world, DAY + timedelta(hours=1), DAY + timedelta(hours=3))
    await ran(world, DAY - timedelta(days=2), DAY - timedelta(days=1))
    await ran(world, DAY + timedelta(days=1))
    report = (await world.get(f"{PATH}/{ALICE}?{MARCH}"))["tenant_usage"]
    assert {name: report[name] for name in report if name != "server_usages"} == {
        "tenant_id": ALICE,
        "start": "2026-03-01T00:00:00.000000",
        "stop": "2026-03-02T00:00:00.000000",
        "total_hours": 26.0,
        "total_vcpus_usage": 26.0,
        "total_memory_mb_usage": 26.0 * 512,
        "total_local_gb_usage": 26.0,
    }
    entries = {entry["instance_id"]: entry for entry in report["server_usages"]}
    assert set(entries) == {goes_on, ended}
    assert (entries[goes_on]["hours"], entries[goes_on]["state"], entries[goes_on]["ended_at"]) == (24, "active", None)
    assert (entries[ended]["hours"], entries[ended]["state"], entries[ended]["uptime"]) == (2, "terminated", 7200)
    assert (entries[ended]["flavor"], entries[ended]["ended_at"]) == ("m1.tiny", "2026-03-01T03:00:00.000000")


async def test_an_administrator_sees_all_projects_page_by_page(world: World) -> None:
    ids = sorted([await ran(world, DAY) for _ in range(3)])
    listed = (await world.get(f"{PATH}?{MARCH}", by="admin"))["tenant_usages"]
    assert [(usage["tenant_id"], usage["total_hours"], "server_usages" in usage) for usage in listed] == [
        (ALICE, 72.0, False)
    ]
    seen: list[str] = []
    path = f"{PATH}?{MARCH}&detailed=1&limit=2"
    for _ in range(2):
        reply = await world.get(path, by="admin", version="2.40")
        seen += [entry["instance_id"] for usage in reply["tenant_usages"] for entry in usage["server_usages"]]
        links = reply.get("tenant_usages_links", [])
        path = PATH + links[0]["href"].partition(PATH)[2] if links else ""
    assert (seen, path) == (ids, "")
    await world.call("GET", f"/v2.1{PATH}?{MARCH}&marker=none", by="admin", version="2.40", status=400)


@pytest.mark.parametrize(
    ("path", "by", "status"),
    [
        (PATH, "alice", 403),
        (f"{PATH}/{BOB}", "alice", 403),
        (f"{PATH}/{ALICE}", "reader", 200),
        (f"{PATH}/{ALICE}", "admin", 200),
        (f"{PATH}/{ALICE}?start=yesterday", "alice", 400),
        (f"{PATH}/{ALICE}?start=2026-03-02T00:00:00&end=2026-03-01T00:00:00", "alice", 400),
        (f"{PATH}/{ALICE}?limit=x", "alice", 400),
    ],
)
async def test_who_may_ask_for_what(lite: World, path: str, by: str, status: int) -> None:
    reply = await lite.call("GET", f"/v2.1{path}", by=by, version="2.40", status=status)
    if status == 200:
        assert reply.json() == {"tenant_usage": {}}
