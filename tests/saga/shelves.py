"""Scenarios of servers that are rescued or shelved, and what they were before where that does not come about."""

import asyncio
from dataclasses import replace
from typing import Any

from tests.saga.moves import REBUILD, REVERT, as_it_was, delete, moved_back
from tests.saga.scenarios import Scenario, boot, lose, repair, runs_on
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
    # A rebuild takes them as well.
    brief=frozenset(REBUILD.steps) - {"hypervisor.spawn", "moves.complete"},
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
    brief=frozenset({"moves.begin_end", "images.release"}),
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


_LOST: dict[str, Any] = {
    "workflow": "RepairServer",
    "begin": repair,
    "local": frozenset({"repairs.take_server"}),
    "shielded": True,
}
LOST = (
    Scenario(
        name="lost-rescue",
        prepare=lost_rescue,
        steps=("repairs.take_server", "hypervisor.unpark", "images.release", "moves.abandon"),
        done=moved_back,
        undone=moved_back,
        forward_only=frozenset({"repairs.take_server", "moves.abandon"}),
        # As of a lost resize.
        brief=frozenset({"repairs.take_server", "hypervisor.unpark", "images.release", "moves.abandon"}),
        **_LOST,
    ),
    Scenario(
        name="lost-unrescue",
        prepare=lost_unrescue,
        steps=("repairs.take_server",),
        done=over,
        undone=over,
        forward_only=frozenset({"repairs.take_server"}),
        brief=frozenset({"repairs.take_server"}),
        **_LOST,
    ),
)

SCENARIOS = (RESCUE, UNRESCUE, *LOST)
