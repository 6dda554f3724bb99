"""Servers that move: what their owners see of it, and hosts that say no on the way."""

from tests.saga import faults
from tests.saga.moves import delete, migrate, pay, resize, there_only
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


async def test_a_resize_goes_elsewhere_where_its_own_host_refuses(cloud: World) -> None:
    place = await cloud.place()
    home = (await cloud.active(place)).host
    cloud.faults.add(place.workflow_id, "ResizeServer", "hypervisor.spawn", faults.refuses_after())
    await cloud.act(place, "resize", argument={"flavorRef": LARGER})
    assert await _status(cloud, place) == "VERIFY_RESIZE"
    server = cloud.server(place)
    assert server is not None
    assert (server.attempt, server.kept) == (3, (home, 1))
    await there_only(cloud, place, str(server.host), str(home))
    await delete(cloud, place)


async def test_a_migration_is_taken_back_to_its_host(cloud: World) -> None:
    place = await cloud.place()
    await cloud.active(place)
    before = await snapshot(cloud, place)
    await migrate(cloud, place)
    assert await _status(cloud, place) == "VERIFY_RESIZE"
    await cloud.act(place, "revertResize")
    assert await _status(cloud, place) == "ACTIVE"
    assert await snapshot(cloud, place) == before
    await delete(cloud, place)


async def test_nothing_runs_twice_while_the_other_host_does_not_say_that_it_is_off(cloud: World) -> None:
    place = await cloud.place()
    home = (await cloud.active(place)).host
    cloud.faults.add(place.workflow_id, "ResizeServer", "hypervisor.spawn", faults.breaks_after())
    cloud.faults.add(place.workflow_id, "ResizeServer", "hypervisor.destroy", faults.breaks_before())
    await migrate(cloud, place)
    assert await _status(cloud, place) == "ERROR"
    found = await snapshot(cloud, place)
    ((away, attempt),) = found["debts"]
    assert (found["claims"], found[str(home)]["domains"]) == ([(home, 1, False), (away, attempt, True)], [])
    await cloud.act(place, "reboot", argument={"type": "HARD"}, status=409)
    await pay(cloud, place, found)
    await cloud.act(place, "reboot", argument={"type": "HARD"})
    assert await _status(cloud, place) == "ACTIVE"
    found = await snapshot(cloud, place)
    assert (found["claims"], found[away]["domains"]) == ([(home, 1, False)], [])
    assert found[str(home)]["domains"] == [(1, 1)]
    # The copy that had come to the other host is nobody's, and goes as any image that is not used.
    cloud.hosts[away].cache.evict(0)
    await delete(cloud, place)
