"""Interfaces of servers over several requests: what comes and goes again and again, and what stays with the guest."""

import asyncio
from typing import Any

from infra.db import interfaces as rows
from infra.db import ports
from tests.saga import faults
from tests.saga.interfaces import attach, boot_beside_a_port, detach, has_it, on_port
from tests.saga.scenarios import nothing_left
from tests.saga.snapshot import snapshot
from tests.saga.world import IMAGE, Place, World, until


async def attach_new(world: World, place: Place, **fields: Any) -> Any:
    """A port that is made for the server; its description, when the guest has it."""
    path = f"/compute/v2.1/servers/{place.server_id}/os-interface"
    made = await world.call(place, "POST", path, {"interfaceAttachment": fields} if fields else {}, status=200)
    shown = made.json()["interfaceAttachment"]
    await until(lambda: not world.db.read_now(rows.of_server, place.server_id), 60, lambda: "it is still attaching")
    return shown


def plugged(world: World, place: Place) -> list[str]:
    server = world.server(place)
    assert server is not None
    return [one.port_id for one in world.hosts[str(server.host)].driver.guest(place.server_id).interfaces]


async def gone(world: World, place: Place, port_id: str) -> None:
    path = f"/compute/v2.1/servers/{place.server_id}/os-interface/{port_id}"
    await world.call(place, "DELETE", path, status=202)
    await until(lambda: not world.db.read_now(rows.of_server, place.server_id), 60, lambda: "it is still detaching")


async def test_ports_that_were_made_go_with_their_interface_or_server(cloud: World) -> None:
    place = await cloud.place()
    server = await cloud.active(place, block_device_mapping_v2=[], user_data=None)
    (booted,) = plugged(cloud, place)
    only = await attach_new(cloud, place)
    fixed = await attach_new(
        cloud, place, net_id=place.network_id, fixed_ips=[{"ip_address": "10.0.0.77"}], tag="third"
    )
    assert fixed["fixed_ips"][0]["ip_address"] == "10.0.0.77"
    assert plugged(cloud, place) == [booted, only["port_id"], fixed["port_id"]]
    shown = (await cloud.call(place, "GET", f"/compute/v2.1/servers/{server.id}", status=200)).json()["server"]
    assert len(shown["addresses"]["net"]) == 3
    # Also those that it was booted with, and the last one.
    for port_id in (only["port_id"], booted):
        await gone(cloud, place, port_id)
    assert plugged(cloud, place) == [fixed["port_id"]]
    found = await snapshot(cloud, place)
    assert (len(found["ports"]), found["addresses"], found[str(server.host)]["plugged"]) == (1, 1, 1)
    await gone(cloud, place, fixed["port_id"])
    assert plugged(cloud, place) == []
    await attach_new(cloud, place)
    await cloud.delete(place)
    await cloud.settled(place)
    await nothing_left(cloud, place)


async def test_a_port_comes_again_and_an_earlier_late_call_does_not_take_it(cloud: World) -> None:
    """The same attempt, another attachment: each has a fence and a key of its own."""
    place = await cloud.place()
    await boot_beside_a_port(cloud, place)
    await attach(cloud, place, status=200)
    await cloud.settled(place)
    late: list[faults.Call] = []
    rule = cloud.faults.add(on_port(place), "DetachInterface", "networks.deallocate", faults.late(late, 1))
    await detach(cloud, place, status=202)
    await cloud.settled(place)
    assert rule.calls > 1
    await attach(cloud, place, status=200)
    await cloud.settled(place)
    await asyncio.gather(*(call() for call in late))
    assert has_it(cloud, place) == (True, True, True, False)
    assert cloud.db.read_now(ports.get, place.port_id).device_id == place.server_id
    # Off and on again, and made anew: it is still there.
    for verb, argument in (("os-stop", None), ("os-start", None), ("rebuild", {"imageRef": IMAGE})):
        await cloud.act(place, verb, argument=argument)
        await cloud.settled(place)
    assert has_it(cloud, place) == (True, True, True, False)
    server = cloud.server(place)
    assert server is not None
    assert (server.status, server.attempt, len(plugged(cloud, place))) == ("ACTIVE", 2, 2)
    await detach(cloud, place, status=202)
    await cloud.settled(place)
    assert has_it(cloud, place) == (False, False, False, False)
    await cloud.delete(place)
    await cloud.settled(place)


async def test_a_server_that_is_off_has_it_when_it_starts(cloud: World) -> None:
    place = await cloud.place()
    await boot_beside_a_port(cloud, place)
    await cloud.act(place, "os-stop")
    await cloud.settled(place)
    await attach(cloud, place, status=200)
    await cloud.settled(place)
    assert cloud.db.read_now(ports.get, place.port_id).status == "DOWN"
    # Somebody undefines it: it is made anew from its row, with both.
    server = cloud.server(place)
    assert server is not None
    cloud.hosts[str(server.host)].driver.destroy(place.server_id)
    await cloud.act(place, "os-start")
    await cloud.settled(place)
    assert place.port_id in plugged(cloud, place)
    assert cloud.db.read_now(ports.get, place.port_id).status == "ACTIVE"
    await cloud.delete(place)
    await cloud.settled(place)


async def test_refusals_leave_nothing_and_a_move_waits(cloud: World) -> None:
    place = await cloud.place()
    await boot_beside_a_port(cloud, place)
    before = await snapshot(cloud, place)
    path = f"/compute/v2.1/servers/{place.server_id}/os-interface"
    (booted,) = plugged(cloud, place)
    for asked, status in (
        ({"port_id": booted}, 409),
        ({"port_id": place.server_id}, 404),
        ({"net_id": place.server_id}, 404),
        ({"net_id": place.network_id, "fixed_ips": [{"ip_address": "10.9.9.9"}]}, 400),
        ({"net_id": place.network_id, "fixed_ips": [{"ip_address": "10.0.0.2"}]}, 409),
    ):
        await cloud.call(place, "POST", path, {"interfaceAttachment": asked}, status=status)
    await cloud.call(place, "DELETE", f"{path}/{place.port_id}", status=404)
    assert await snapshot(cloud, place) == before
    barrier = faults.Barrier()
    cloud.faults.add(on_port(place), "AttachInterface", "hypervisor.attach_interface", barrier.act)
    await attach(cloud, place, status=200)
    await cloud.act(place, "rebuild", argument={"imageRef": IMAGE}, status=409)
    await attach(cloud, place, status=409)
    await detach(cloud, place, status=409)
    barrier.open.set()
    await cloud.settled(place)
    assert has_it(cloud, place) == (True, True, True, False)
    await cloud.delete(place)
    await cloud.settled(place)
