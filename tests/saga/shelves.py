"""Scenarios of servers that are rescued or shelved, and what they were before where that does not come about."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tests.saga.moves import REBUILD, REVERT, as_it_was, delete, moved_back, pay
from tests.saga.scenarios import LOST_SERVER, Scenario, boot, lose, runs_on
from tests.saga.snapshot import snapshot
from tests.saga.world import IMAGE, OTHER_IMAGE, Place, World

# -- rescue

_RESCUE = {"argument": {"rescue_image_ref": OTHER_IMAGE}}


async def rescued(world: World, place: Place, before: dict[str, Any]) -> None:
    """The guest runs from the other image, and has the disk that was the server's as its second; what it was waits."""
    server = world.server(place)
    assert server is not None
    assert (server.status, server.op, server.task_state) == ("RESCUE", None, None), server.fault
    assert (server.attempt, server.kept) == (2, (server.host, 1))
    host = str(server.host)
    first, second, *_ = world.hosts[host].driver.guest(place.server_id).disks
    assert (first.path.name, first.device, first.serial) == ("disk.2", "vda", "rescue")
    assert (second.path.name, second.device, second.serial) == ("disk.1", "vdb", place.server_id[:20])
    files = ["config.1", "config.2", "disk.1", "disk.2", "guest.1.json", "guest.2.json", "parked.1"]
    on_host = {"files": files, "domains": [(2, 1)], "images": sorted((IMAGE, OTHER_IMAGE))}
    assert await snapshot(world, place) == before | {"claims": [(host, 2, False)], host: before[host] | on_host}
    await delete(world, place)


RESCUE = Scenario(
    name="rescue",
    workflow="RescueServer",
    prepare=boot,
    begin=lambda world, place: world.act(place, "rescue", status=None, **_RESCUE),
    steps=tuple(step for step in REBUILD.steps if step not in ("hypervisor.remove", "images.release")),
    done=rescued,
    undone=as_it_was,
    undoes=True,
    admission=REBUILD.admission,
    forward_only=REBUILD.forward_only,
    local=REBUILD.local,
    bare=REBUILD.bare - {"hypervisor.remove", "images.release"},
)


async def rescue(world: World, place: Place) -> None:
    await world.active(place)
    await world.act(place, "rescue", status=200, **_RESCUE)
    await world.settled(place)


async def over(world: World, place: Place, before: dict[str, Any]) -> None:
    """It is what it was before it was rescued."""
    server = world.server(place)
    assert server is not None
    assert (server.status, server.attempt, server.op, server.move) == ("ACTIVE", 1, None, None), server.fault
    host = str(server.host)
    assert await snapshot(world, place) == runs_on({**before, "tasks": []}, 1, host)
    await delete(world, place)


async def over_or_not(world: World, place: Place, before: dict[str, Any]) -> None:
    """An image that its host still counts as used goes when the host is compared; otherwise the rescue goes on."""
    server = world.server(place)
    assert server is not None
    if server.status == "ACTIVE":
        upkeep = world.hosts[str(server.host)].host.upkeep
        entry = (await upkeep._expected())[server.id]
        await asyncio.to_thread(upkeep._mend, server.id, entry)
        await over(world, place, before)
        return
    assert (server.status, server.op) == ("RESCUE", None)
    # Whatever its host did before it failed, it ends as if nothing had been.
    await world.act(place, "unrescue")
    await world.settled(place)
    await over(world, place, before)


UNRESCUE = replace(
    REVERT,
    name="unrescue",
    workflow="UnrescueServer",
    prepare=rescue,
    begin=lambda world, place: world.act(place, "unrescue", status=None),
    steps=("moves.begin_end", "hypervisor.unpark", "images.release", "moves.revert"),
    done=over,
    undone=over_or_not,
    forward_only=frozenset({"moves.revert"}),
)

# -- repairs


async def lost_rescue(world: World, place: Place) -> None:
    """The guest that rescues it runs already, and the row does not say so."""
    await world.active(place)
    await lose(
        world,
        place.workflow_id,
        "RescueServer",
        "hypervisor.spawn",
        lambda: world.act(place, "rescue", status=200, **_RESCUE),
    )


async def lost_unrescue(world: World, place: Place) -> None:
    await rescue(world, place)
    await lose(world, place.workflow_id, "UnrescueServer", "hypervisor.unpark", lambda: world.act(place, "unrescue"))


LOST = (
    Scenario(
        name="lost-rescue",
        prepare=lost_rescue,
        steps=("repairs.take_server", "hypervisor.unpark", "images.release", "moves.abandon"),
        done=moved_back,
        undone=moved_back,
        forward_only=frozenset({"repairs.take_server", "moves.abandon"}),
        **LOST_SERVER,
    ),
    Scenario(
        name="lost-unrescue",
        prepare=lost_unrescue,
        steps=("repairs.take_server",),
        done=over,
        undone=over,
        forward_only=frozenset({"repairs.take_server"}),
        **LOST_SERVER,
    ),
)

# -- shelve


async def shelve(world: World, place: Place) -> None:
    await world.active(place)
    await world.act(place, "shelve")
    await world.settled(place)


async def delete_with_image(world: World, place: Place) -> None:
    await delete(world, place)
    found = await snapshot(world, place)
    assert (found["images"], found["image data"]) == ([], 0)


def off_host(found: dict[str, Any], hosts: Iterable[str]) -> dict[str, Any]:
    """What the world has of a server that is shelved: its rows, and the image that it was saved as."""
    nothing = {"files": [], "domains": [], "plugged": 0, "networks": [], "images": []}
    return {
        **found,
        "claims": [],
        "usage": (1, 1, 128),
        "ports": [("", True, "DOWN")],
        "attachments": [("", "attached", True)],
        "images": [("active", True)],
        "image data": 1,
        **{host: {**found[host], **nothing} for host in hosts},
    }


async def shelved(world: World, place: Place, before: dict[str, Any]) -> None:
    """It is on no host, and has its port, its address, its volume and its room in the quota."""
    server = world.server(place)
    assert server is not None
    state = (server.status, server.host, server.op, server.task_state, server.power_state)
    assert state == ("SHELVED_OFFLOADED", None, None, None, 4), server.fault
    assert await snapshot(world, place) == off_host({**before, "tasks": []}, world.hosts)
    await delete_with_image(world, place)


SHELVE = Scenario(
    name="shelve",
    workflow="ShelveServer",
    prepare=boot,
    begin=lambda world, place: world.act(place, "shelve", status=None),
    steps=(
        "records.begin_verb",
        "images.reserve",
        "hypervisor.halt",
        "hypervisor.copy_disk",
        "images.upload",
        "shelving.shelve",
        "hypervisor.drop_copy",
    ),
    done=shelved,
    undone=as_it_was,
    undoes=True,
    admission=frozenset({"records.begin_verb", "images.reserve"}),
    forward_only=frozenset({"shelving.shelve", "hypervisor.drop_copy"}),
    local=frozenset({"records.begin_verb"}),
)


async def shelved_or_asked_again(world: World, place: Place, before: dict[str, Any]) -> None:
    """It stays shelved where an administrator asks for the rest; what its host did not do then it does when it is
    compared."""
    server = world.server(place)
    assert server is not None
    if server.status == "SHELVED":
        assert (server.op, server.task_state, server.stuck_undo) == (None, None, None)
        await world.act(place, "unshelve", status=409)
        await world.act(await world.administrated(place), "shelveOffload")
        await world.settled(place)
    for host in world.hosts.values():
        upkeep = host.host.upkeep
        if place.server_id in await asyncio.to_thread(upkeep._found):
            await asyncio.to_thread(upkeep._tidy, place.server_id, {1}, None)
    await shelved(world, place, before)


OFFLOAD = Scenario(
    name="offload",
    workflow="OffloadServer",
    prepare=boot,
    begin=lambda world, place: world.act(place, "shelve", status=None),
    steps=(
        "shelving.begin_offload",
        "hypervisor.remove",
        "networks.unplug",
        "images.release",
        "shelving.offload",
    ),
    done=shelved,
    undone=shelved_or_asked_again,
    forward_only=frozenset({"hypervisor.remove", "shelving.offload"}),
    local=frozenset({"shelving.begin_offload"}),
)

# -- unshelve


async def unshelved(world: World, place: Place, before: dict[str, Any]) -> None:
    """It runs, from a disk of its own, with the port and the volume that it had; the image is gone."""
    server = world.server(place)
    assert server is not None
    assert (server.status, server.op, server.move, server.shelved_image_id) == ("ACTIVE", None, None, None)
    host = str(server.host)
    found = await snapshot(world, place)
    # Its own image is noted where a comparison finds it there.
    on_host = {"images": [i for i in found[host]["images"] if i == IMAGE], "networks": found[host]["networks"]}
    running = runs_on({**before, "images": [], "image data": 0}, server.attempt, host)
    assert found == running | {host: running[host] | on_host}
    await delete_with_image(world, place)


async def still_shelved(world: World, place: Place, before: dict[str, Any]) -> None:
    """Or it runs, where only the copy of its disk was left to its host."""
    server = world.server(place)
    assert server is not None
    if server.status == "ACTIVE":
        upkeep = world.hosts[str(server.host)].host.upkeep
        await asyncio.to_thread(upkeep._mend, server.id, (await upkeep._expected())[server.id])
        await unshelved(world, place, before)
        return
    assert (server.status, server.op, server.move) == ("SHELVED_OFFLOADED", None, None)
    assert await snapshot(world, place) == before
    await world.act(place, "unshelve")
    await world.settled(place)
    await unshelved(world, place, before)


UNSHELVE = Scenario(
    name="unshelve",
    workflow="UnshelveServer",
    prepare=shelve,
    begin=lambda world, place: world.act(place, "unshelve", status=None),
    steps=(
        "moves.begin",
        "scheduling.claim_host",
        "host.accept",
        "conductor.get_instance",
        "conductor.get_devices",
        "images.fetch",
        "hypervisor.carry_disk",
        "networks.plug",
        "volumes.find",
        "volumes.connect",
        "hypervisor.spawn",
        "moves.complete",
        "images.forget",
        "images.withdraw",
    ),
    done=unshelved,
    undone=still_shelved,
    undoes=True,
    admission=frozenset({"moves.begin"}),
    forward_only=frozenset({"moves.complete", "images.withdraw"}),
    local=frozenset({"moves.begin", "conductor.get_instance", "conductor.get_devices"}),
    bare=frozenset({"images.forget"}),
)

# -- repairs of these


async def lost_shelve(world: World, place: Place) -> None:
    """The guest is off and the image is whole, and the row does not say so."""
    await world.active(place)
    await lose(world, place.workflow_id, "ShelveServer", "images.upload", lambda: world.act(place, "shelve"))


async def not_shelved(world: World, place: Place, before: dict[str, Any]) -> None:
    """It is off, or what its row had where its host did not say; the image is gone, and the copy when its host is
    compared."""
    server = world.server(place)
    assert server is not None
    assert (server.op, server.task_state, server.shelved_image_id) == (None, None, None)
    assert server.status == ("SHUTOFF" if server.power_state == 4 else "ACTIVE")
    upkeep, host = world.hosts[str(server.host)].host.upkeep, str(server.host)
    entry = (await upkeep._expected())[server.id]
    await asyncio.to_thread(upkeep._drop_copies, server.id, upkeep._copies.all().get(server.id, set()), entry)
    running = runs_on({**before, "tasks": [], "images": [], "image data": 0}, 1, host)
    found = await snapshot(world, place)
    on_host = {"domains": [(1, 4)]}
    ports = [(host, True, "DOWN" if server.status == "SHUTOFF" else "ACTIVE")]
    assert found == running | {host: running[host] | on_host, "ports": ports}
    await delete_with_image(world, place)


async def lost_offload(world: World, place: Place) -> None:
    """Its guest is gone already."""
    await world.active(place)
    await lose(world, place.workflow_id, "OffloadServer", "hypervisor.remove", lambda: world.act(place, "shelve"))


async def offloaded_after_all(world: World, place: Place, before: dict[str, Any]) -> None:
    server = world.server(place)
    assert server is not None
    assert (server.status, server.host) == ("SHELVED_OFFLOADED", None)
    await shelved(world, place, before)


async def lost_unshelve(world: World, place: Place) -> None:
    """It runs already, and the row does not say so."""
    await shelve(world, place)
    await lose(world, place.workflow_id, "UnshelveServer", "hypervisor.spawn", lambda: world.act(place, "unshelve"))


async def shelved_again(world: World, place: Place, before: dict[str, Any]) -> None:
    await pay(world, place, await snapshot(world, place))
    await shelved(world, place, {**before, "debts": []})


LOST_SHELVED = (
    Scenario(
        name="lost-shelve",
        prepare=lost_shelve,
        steps=("repairs.take_server", "hypervisor.read_state", "records.end_verb"),
        done=not_shelved,
        undone=not_shelved,
        forward_only=frozenset({"repairs.take_server", "records.end_verb"}),
        **LOST_SERVER,
    ),
    Scenario(
        name="lost-offload",
        prepare=lost_offload,
        steps=("repairs.take_server",),
        done=offloaded_after_all,
        undone=offloaded_after_all,
        forward_only=frozenset({"repairs.take_server"}),
        **LOST_SERVER,
    ),
    Scenario(
        name="lost-unshelve",
        prepare=lost_unshelve,
        steps=("repairs.take_server", "records.owe_cleanup", "upkeep.pay", "images.withdraw", "moves.abandon"),
        done=shelved_again,
        undone=shelved_again,
        forward_only=frozenset({"repairs.take_server", "records.owe_cleanup", "images.withdraw", "moves.abandon"}),
        **LOST_SERVER,
    ),
)

SCENARIOS = (RESCUE, UNRESCUE, *LOST, SHELVE, OFFLOAD, UNSHELVE, *LOST_SHELVED)
