"""Deletes at any moment, and several at once."""

import asyncio
import random
from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy.exc import OperationalError

from infra.db import servers
from tests.saga import faults
from tests.saga.faults import Act
from tests.saga.scenarios import delete_and_compare, gone, lose
from tests.saga.snapshot import snapshot
from tests.saga.world import IMAGE, World, until
from workers import sweeper

MOMENTS = 24
AT_ONCE = 6


@pytest.mark.timeout(600)
async def test_delete_at_any_moment_leaves_nothing(cloud: World) -> None:
    """Two requests at once, at moments that a seed chose, from the answer to the boot to a while after ACTIVE."""
    moments = random.Random(20).sample(range(1500), MOMENTS)
    room = asyncio.Semaphore(AT_ONCE)

    async def one(milliseconds: int) -> None:
        async with room:
            place = await cloud.place()
            before = await snapshot(cloud, place)
            await cloud.boot(place)
            await asyncio.sleep(milliseconds / 1000)
            replies = await asyncio.gather(*(cloud.delete(place, status=None) for _ in range(2)))
            assert {reply.status_code for reply in replies} <= {204, 404}
            assert 204 in {reply.status_code for reply in replies}
            await cloud.settled(place)
            await gone(cloud, place, before)

    await asyncio.gather(*(one(moment) for moment in moments))


async def test_a_boot_that_was_terminated_can_be_deleted_before_it_is_repaired(cloud: World) -> None:
    """Its host is cleared, and the volume that it had made goes too."""
    place = await cloud.place()
    before = await snapshot(cloud, place)
    disks = [
        {"source_type": "image", "destination_type": "local", "uuid": IMAGE, "boot_index": 0},
        {"source_type": "blank", "destination_type": "volume", "volume_size": 1, "boot_index": -1},
    ]
    begin = partial(cloud.boot, place, block_device_mapping_v2=disks)
    await lose(cloud, place.workflow_id, "BootServer", "hypervisor.spawn", begin)
    assert len(cloud.volumes_of(place.project_id)) == 2
    await cloud.delete(place)
    await cloud.settled(place)
    await sweeper.sweep(cloud.client, cloud.db)
    await until(lambda: len(cloud.volumes_of(place.project_id)) == 1, 30, lambda: "the volume stayed")
    await gone(cloud, place, before)


async def test_a_repeated_boot_request_makes_one_server(cloud: World) -> None:
    place = await cloud.place()
    before = await snapshot(cloud, place)
    replies = await asyncio.gather(*(cloud.boot(place) for _ in range(3)))
    assert {reply.json()["server"]["id"] for reply in replies} == {place.server_id}
    await cloud.settled(place)
    assert (await snapshot(cloud, place))["usage"] == (1, 1, 128)
    await delete_and_compare(cloud, place, before)


@pytest.mark.parametrize("broken", [faults.breaks_before, faults.breaks_after])
@pytest.mark.parametrize("count", [1, 2])
async def test_a_boot_that_could_not_be_admitted_may_be_sent_again(
    cloud: World, broken: Callable[[int], Act], count: int
) -> None:
    """With the same key, and whether or not the failed admission had written its rows: nobody was told of them."""
    place = await cloud.place()
    before = await snapshot(cloud, place)
    fields = {"block_device_mapping_v2": [], "min_count": count, "max_count": count}
    run = place.workflow_id, "BootServer"
    if count > 1:
        run = f"reservation/r-{place.server_id[:8]}-{place.server_id}", "BootServers"
    cloud.faults.add(*run, "records.create_servers", broken(1))
    await cloud.boot(place, status=500, **fields)
    assert await snapshot(cloud, place) == before
    await cloud.boot(place, **fields)

    def rows() -> list[servers.Server]:
        return cloud.db.read_now(servers.list_servers, project_id=place.project_id)

    await until(lambda: [one.status for one in rows()] == ["ACTIVE"] * count, 60, lambda: str(rows()))
    for server in rows():
        await cloud.call(place, "DELETE", f"/compute/v2.1/servers/{server.id}", status=204)
    await until(lambda: rows() == [], 60, lambda: str(rows()))
    reply = await cloud.boot(place, status=404, **fields)
    assert place.server_id in reply.text, "its server has been, and was deleted"
    await cloud.settled(place)
    assert await snapshot(cloud, place) == before


async def test_a_database_that_is_away_is_not_the_fault_of_the_request(cloud: World) -> None:
    place = await cloud.place()
    before = await snapshot(cloud, place)

    async def is_away(n: int, call: faults.Call) -> object:
        if n <= 3:
            raise OperationalError("INSERT", {}, Exception("server closed the connection"))
        return await call()

    cloud.faults.add(place.workflow_id, "BootServer", "records.create_servers", is_away)
    reply = await cloud.boot(place, status=503)
    assert "database does not answer" in reply.text
    await cloud.active(place)
    await delete_and_compare(cloud, place, before)


async def test_one_verb_at_a_time(cloud: World) -> None:
    """Of three stops at once one is taken; the others are refused or find it stopped."""
    place = await cloud.place()
    before = await snapshot(cloud, place)
    await cloud.active(place)
    replies = await asyncio.gather(*(cloud.act(place, "os-stop", status=None) for _ in range(3)))
    assert sorted(reply.status_code for reply in replies) == [202, 409, 409]
    await cloud.settled(place)
    server = cloud.server(place)
    assert server is not None
    assert (server.status, server.task_state) == ("SHUTOFF", None)
    await delete_and_compare(cloud, place, before)
