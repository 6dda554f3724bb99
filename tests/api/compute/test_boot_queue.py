"""Too many servers in BUILD: more are refused at the door, before anything of them is begun."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from api.turns import Turns
from infra.db import servers
from infra.settings import LimitSettings
from tests.api.compute.conftest import Mounted, World, boot_body

Limited = Callable[..., World]


@pytest.fixture
def limited(world: World) -> Limited:
    def make(turns: Turns | None = None, **limits: int) -> World:
        settings = world.services.settings.model_copy(update={"limits": LimitSettings(**limits)})
        services = replace(world.services, settings=settings, admissions=turns or Turns(4))
        transport = httpx.ASGITransport(app=Mounted(services))
        return World(services, httpx.AsyncClient(transport=transport, base_url="http://compute"), world.starts)

    return make


async def _refused(world: World, status: int, **how: object) -> httpx.Response:
    begun, rows = len(world.starts.specs), world.db.read_now(servers.count)
    fields = how.pop("fields", {})
    reply = await world.call("POST", "/v2.1/servers", boot_body(**fields), status=status, **how)  # type: ignore[arg-type]
    assert (len(world.starts.specs), world.db.read_now(servers.count)) == (begun, rows)
    return reply


async def test_a_project_has_its_own_limit(limited: Limited) -> None:
    world = limited(building_per_project=3, retry_seconds=7)
    await world.boot(max_count=2, min_count=2)
    reply = await _refused(world, 429, fields={"min_count": 2, "max_count": 2})
    assert reply.headers["retry-after"] == "7"
    assert reply.json()["overLimit"]["code"] == 429
    await world.boot()
    await _refused(world, 429)
    await world.boot(by="bob")


async def test_servers_that_are_done_do_not_count(limited: Limited) -> None:
    world = limited(building_per_project=1)
    server_id = await world.boot()
    await _refused(world, 429)
    server = world.db.read_now(servers.get, server_id)
    assert world.db.write_now(servers.set_active, server_id, str(server.op), 1)
    await world.boot()


async def test_all_projects_share_a_limit(limited: Limited) -> None:
    world = limited(building=2, building_per_project=2, retry_seconds=9)
    await world.boot()
    await world.boot(by="bob")
    reply = await _refused(world, 503, by="bob")
    assert reply.headers["retry-after"] == "9"
    assert reply.json()["serviceUnavailable"]["code"] == 503


async def test_a_repeat_is_told_to_come_back_too(limited: Limited) -> None:
    """It finds its server when it comes again with the same key."""
    world = limited(building_per_project=1)
    await world.boot()
    await _refused(world, 429, headers={"Idempotency-Key": "k"})


async def test_what_waits_for_its_admission_counts(limited: Limited) -> None:
    """Else thousands that are sent at once would all wait, to be refused a minute later."""
    turns = Turns(1)
    world = limited(turns, building_per_project=2)
    async with turns.of("another"):
        waiting = [asyncio.create_task(world.boot()) for _ in range(2)]
        async with asyncio.timeout(10):
            while turns.waiting() < 2:  # noqa: ASYNC110
                await asyncio.sleep(0)
        await _refused(world, 429)
    await asyncio.gather(*waiting)


async def test_a_delete_waits_for_its_turn(limited: Limited) -> None:
    """Hundreds that all ask at once are too slow for the clients that wait, and count as no boots."""
    turns = Turns(1)
    world = limited(turns, building_per_project=2)
    server_id = await world.boot()
    async with turns.of("another"):
        delete = asyncio.create_task(world.call("DELETE", f"/v2.1/servers/{server_id}", status=204))
        async with asyncio.timeout(10):
            while not turns._ahead:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert (world.starts.deleted, turns.waiting()) == ([], 0)
    await delete
    assert world.starts.deleted == [server_id]
