"""Servers that move: what their owners see of it, and hosts that say no on the way."""

from tests.saga import faults
from tests.saga.moves import delete, resize
from tests.saga.scenarios import shut_off
from tests.saga.snapshot import snapshot
from tests.saga.world import LARGER, OTHER_IMAGE, Place, World


async def _status(world: World, place: Place) -> str:
    await world.settled(place)
    server = world.server(place)
    assert server is not None
    assert server.task_state is None
    return server.status


async def test_a_server_that_is_off_stays_off_whatever_it_becomes(cloud: World) -> None:
    place = await cloud.place()
    await shut_off(cloud, place)
    await cloud.act(place, "rebuild", argument={"imageRef": OTHER_IMAGE})
    assert await _status(cloud, place) == "SHUTOFF"
    await cloud.act(place, "resize", argument={"flavorRef": LARGER})
    assert await _status(cloud, place) == "VERIFY_RESIZE"
    await cloud.act(place, "confirmResize", status=204)
    assert await _status(cloud, place) == "SHUTOFF"
    server = cloud.server(place)
    assert server is not None
    found = await snapshot(cloud, place)
    assert found[str(server.host)]["domains"] == [(3, 4)]
    assert found["ports"] == [(server.host, True, "DOWN")]
    await cloud.act(place, "os-start")
    assert await _status(cloud, place) == "ACTIVE"
    await delete(cloud, place)


async def test_nothing_else_is_done_to_a_server_before_its_move_is_confirmed(cloud: World) -> None:
    place = await cloud.place()
    await resize(cloud, place)
    for action, argument in (
        ("os-stop", None),
        ("reboot", {"type": "HARD"}),
        ("resize", {"flavorRef": "1"}),
        ("rebuild", {"imageRef": OTHER_IMAGE}),
    ):
        await cloud.act(place, action, argument=argument, status=409)
    await cloud.act(place, "revertResize")
    assert await _status(cloud, place) == "ACTIVE"
    for action in ("confirmResize", "revertResize"):
        await cloud.act(place, action, status=409)
    await delete(cloud, place)


async def test_a_host_that_refuses_leaves_the_server_as_it_was(cloud: World) -> None:
    place = await cloud.place()
    await cloud.active(place)
    before = await snapshot(cloud, place)
    cloud.faults.add(place.workflow_id, "RebuildServer", "hypervisor.spawn", faults.refuses_after())
    await cloud.act(place, "rebuild", argument={"imageRef": OTHER_IMAGE, "name": "again"})
    assert await _status(cloud, place) == "ACTIVE"
    assert await snapshot(cloud, place) == before
    path = f"/compute/v2.1/servers/{place.server_id}/os-instance-actions"
    actions = (await cloud.call(place, "GET", path, status=200)).json()["instanceActions"]
    assert (actions[0]["action"], actions[0]["message"]) == ("rebuild", "Error")
    await delete(cloud, place)


async def test_a_server_moves_once_more_under_another_number(cloud: World) -> None:
    place = await cloud.place()
    await resize(cloud, place)
    await cloud.act(place, "revertResize")
    assert await _status(cloud, place) == "ACTIVE"
    await cloud.act(place, "resize", argument={"flavorRef": LARGER})
    assert await _status(cloud, place) == "VERIFY_RESIZE"
    server = cloud.server(place)
    assert server is not None
    assert (server.attempt, server.kept) == (3, (server.host, 1))
    await delete(cloud, place)
