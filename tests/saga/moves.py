"""Scenarios of servers that move: what the world is when a move is done, and that nothing changed when it is not."""

import time
import uuid
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx

from activities.models import Requester
from activities.moves import BeginMove
from api import start
from infra.domain.errors import KilonovaError
from infra.domain.move import MoveKind, travelling
from infra.domain.server import Verb
from tests.saga.scenarios import LOST_SERVER, Scenario, boot, gone, lose, nothing_left, runs_on, sweep
from tests.saga.snapshot import snapshot
from tests.saga.world import LARGER, OTHER_IMAGE, Place, World
from workflows.evacuate_server import EvacuateServer
from workflows.moving import MoveParams


async def pay(world: World, place: Place, found: dict[str, Any]) -> None:
    """What hosts owe for this server: other cases look at theirs at the same time."""
    for host, attempt in found["debts"]:
        await world.hosts[host].host.upkeep.pay_one(place.server_id, attempt)


def travels(world: World, place: Place) -> bool:
    """Whether anything is left that a disk of the server travelled as."""
    kept = {path.name for host in world.hosts.values() for path in (host.directory / "images" / "data").iterdir()}
    kept |= {path.name for path in world.settings.image_directory.rglob("*")}
    return any(travelling(place.server_id, attempt) in kept for attempt in range(1, 6))


async def delete(world: World, place: Place) -> None:
    assert not travels(world, place)
    await world.delete(place)
    await world.settled(place)
    await nothing_left(world, place)


async def as_it_was(world: World, place: Place, before: dict[str, Any]) -> None:
    """The guest runs, or is off, in the attempt that it had, and nothing is left of another one."""
    server = world.server(place)
    assert server is not None
    assert (server.move, server.op, server.attempt) == (None, None, 1), server
    assert server.status == ("ACTIVE" if server.power_state == 1 else "SHUTOFF"), server.fault
    assert await snapshot(world, place) == before
    await delete(world, place)


# -- rebuild


async def rebuilt(world: World, place: Place, before: dict[str, Any]) -> None:
    """From the other image, in another attempt; all else is what it was."""
    server = world.server(place)
    assert server is not None
    assert (server.status, server.op, server.move) == ("ACTIVE", None, None), server.fault
    assert (server.image_id, server.name, server.attempt) == (OTHER_IMAGE, "again", 2)
    host = str(server.host)
    on_host = {
        "files": ["config.2", "disk.2", "guest.2.json"],
        "domains": [(2, 1)],
        "images": [OTHER_IMAGE],
    }
    assert await snapshot(world, place) == before | {
        "claims": [(host, 2, False)],
        host: before[host] | on_host,
    }
    await delete(world, place)


async def not_rebuilt(world: World, place: Place, before: dict[str, Any]) -> None:
    """Or it was, and its host owes what is left of the attempt before."""
    server = world.server(place)
    assert server is not None
    if server.image_id == OTHER_IMAGE:
        found = await snapshot(world, place)
        assert found["debts"] == [(server.host, 1)]
        await pay(world, place, found)
        await rebuilt(world, place, before)
    else:
        await as_it_was(world, place, before)


REBUILD = Scenario(
    name="rebuild",
    workflow="RebuildServer",
    prepare=boot,
    begin=lambda world, place: world.act(
        place, "rebuild", status=None, argument={"imageRef": OTHER_IMAGE, "name": "again"}
    ),
    steps=(
        "moves.begin",
        "host.accept",
        "conductor.get_instance",
        "conductor.get_devices",
        "images.fetch",
        "hypervisor.park",
        "networks.plug",
        "volumes.find",
        "volumes.connect",
        "hypervisor.spawn",
        "moves.complete",
        "hypervisor.remove",
        "images.release",
    ),
    done=rebuilt,
    undone=not_rebuilt,
    undoes=True,
    admission=frozenset({"moves.begin"}),
    forward_only=frozenset({"moves.complete"}),
    local=frozenset({"moves.begin", "conductor.get_instance", "conductor.get_devices"}),
    bare=frozenset(
        {
            "host.accept",
            "conductor.get_instance",
            "conductor.get_devices",
            "hypervisor.remove",
            "images.release",
        }
    ),
)

# -- resize


async def resized(world: World, place: Place, before: dict[str, Any]) -> None:
    """Both sides hold their room; the new one runs, with the server's port and volume."""
    server = world.server(place)
    assert server is not None
    assert (server.status, server.op, server.flavor.id) == ("VERIFY_RESIZE", None, LARGER), server.fault
    new = server.attempt
    host, (old_host, old, _) = str(server.host), before["claims"][0]
    assert (old, server.kept) == (1, (old_host, 1))
    found = await snapshot(world, place)
    assert found["claims"] == [(old_host, 1, False), (host, new, False)]
    assert found["usage"] == (1, 2, 256)
    assert (found["ports"], found["attachments"]) == ([(host, True, "ACTIVE")], [(host, "attached", True)])
    assert found[host]["domains"] == [(new, 1)]
    kept = {"config.1", "disk.1", "guest.1.json", "parked.1"}
    files = {f"config.{new}", f"disk.{new}", f"guest.{new}.json"}
    assert set(found[host]["files"]) == files | (kept if host == old_host else set())
    assert set(found[old_host]["files"]) >= kept
    await delete(world, place)


_RESIZE = {"argument": {"flavorRef": LARGER}}
RESIZE = Scenario(
    name="resize",
    workflow="ResizeServer",
    prepare=boot,
    begin=lambda world, place: world.act(place, "resize", status=None, **_RESIZE),
    steps=(
        "moves.begin",
        "scheduling.claim_host",
        "host.accept",
        "conductor.get_instance",
        "conductor.get_devices",
        "hypervisor.park",
        "hypervisor.carry_disk",
        "networks.plug",
        "volumes.find",
        "volumes.connect",
        "hypervisor.spawn",
        "moves.complete",
    ),
    done=resized,
    undone=as_it_was,
    undoes=True,
    admission=frozenset({"moves.begin"}),
    forward_only=frozenset({"moves.complete"}),
    local=frozenset({"moves.begin", "conductor.get_instance", "conductor.get_devices"}),
)


async def resize(world: World, place: Place) -> None:
    await world.active(place)
    await world.act(place, "resize", **_RESIZE)
    await world.settled(place)


async def still_waits(world: World, place: Place, before: dict[str, Any]) -> bool:
    """The request was refused, and the server waits as before."""
    server = world.server(place)
    assert server is not None
    if server.status != "VERIFY_RESIZE":
        return False
    assert server.op is None
    assert await snapshot(world, place) == before
    await delete(world, place)
    return True


async def confirmed(world: World, place: Place, before: dict[str, Any]) -> None:
    """The new side is the server, and all that it has."""
    server = world.server(place)
    assert server is not None
    assert (server.status, server.flavor.id, server.attempt) == ("ACTIVE", LARGER, 2), server.fault
    assert (server.op, server.move) == (None, None)
    found = await snapshot(world, place)
    host = str(server.host)
    assert (found["claims"], found["usage"], found["debts"]) == ([(host, 2, False)], (1, 2, 256), [])
    assert found[host] == before[host] | {"files": ["config.2", "disk.2", "guest.2.json"]}
    for name in world.hosts.keys() - {host}:
        assert (found[name]["files"], found[name]["plugged"], found[name]["images"]) == ([], 0, [])
    await delete(world, place)


async def confirmed_but_owed(world: World, place: Place, before: dict[str, Any]) -> None:
    """The host could not remove the old side in its time: what it has of it is off, and its room stays taken."""
    server = world.server(place)
    assert server is not None
    if await still_waits(world, place, before):
        return
    assert (server.status, server.attempt) == ("ACTIVE", 2), server.fault
    found = await snapshot(world, place)
    assert [(host, attempt) for host, attempt, quarantined in found["claims"] if quarantined] == found["debts"]
    assert found["debts"] == [(before["claims"][0][0], 1)]
    await pay(world, place, found)
    await confirmed(world, place, before)


_END: dict[str, Any] = {
    "prepare": resize,
    "admission": frozenset({"moves.begin_end"}),
    "local": frozenset({"moves.begin_end"}),
    "shielded": True,
}
CONFIRM = Scenario(
    name="confirm-resize",
    workflow="ConfirmResize",
    begin=lambda world, place: world.act(place, "confirmResize", status=None),
    steps=("moves.begin_end", "hypervisor.remove", "scheduling.release_claim", "moves.confirm"),
    done=confirmed,
    undone=confirmed_but_owed,
    forward_only=frozenset({"scheduling.release_claim", "moves.confirm"}),
    **_END,
)


async def reverted(world: World, place: Place, before: dict[str, Any]) -> None:
    """The old side runs again, with the server's port and volume."""
    server = world.server(place)
    assert server is not None
    assert (server.status, server.flavor.id, server.attempt) == ("ACTIVE", "1", 1), server.fault
    assert (server.op, server.move) == (None, None)
    found = await snapshot(world, place)
    host = str(server.host)
    assert (found["claims"], found["usage"], found["debts"]) == ([(host, 1, False)], (1, 1, 128), [])
    assert (found["ports"], found["attachments"]) == ([(host, True, "ACTIVE")], [(host, "attached", True)])
    on_host = {"files": ["config.1", "disk.1", "guest.1.json"], "domains": [(1, 1)], "plugged": 1}
    assert {name: found[host][name] for name in on_host} == on_host
    for name in world.hosts.keys() - {host}:
        assert (found[name]["files"], found[name]["plugged"], found[name]["images"]) == ([], 0, [])
    # It may be moved again as if nothing had been.
    await world.act(place, "resize", **_RESIZE)
    await world.settled(place)
    again = world.server(place)
    assert again is not None
    assert again.status == "VERIFY_RESIZE", again.fault
    await delete(world, place)


async def not_reverted(world: World, place: Place, before: dict[str, Any]) -> None:
    """A guest did not go, or did not come back: the server says so, and comes back by a hard reboot when what its
    host owes is paid."""
    server = world.server(place)
    assert server is not None
    if await still_waits(world, place, before):
        return
    assert (server.status, server.attempt, server.op, server.move) == ("ERROR", 1, None, None)
    assert server.fault is not None
    await pay(world, place, await snapshot(world, place))
    await world.act(place, "reboot", argument={"type": "HARD"})
    await world.settled(place)
    await reverted(world, place, before)


REVERT = Scenario(
    name="revert-resize",
    workflow="RevertResize",
    begin=lambda world, place: world.act(place, "revertResize", status=None),
    steps=("moves.begin_end", "hypervisor.remove", "scheduling.release_claim", "hypervisor.unpark", "moves.revert"),
    done=reverted,
    undone=not_reverted,
    forward_only=frozenset({"scheduling.release_claim", "moves.revert"}),
    **_END,
)

# -- migrate


async def migrate(world: World, place: Place) -> httpx.Response:
    return await world.act(await world.administrated(place), "migrate", status=None)


async def migrated(world: World, place: Place, before: dict[str, Any]) -> None:
    """The guest runs on another host, from a disk of its own; the old one waits, parked."""
    server = world.server(place)
    assert server is not None
    assert (server.status, server.op) == ("VERIFY_RESIZE", None), server.fault
    host, (old_host, _, _) = str(server.host), before["claims"][0]
    assert host != old_host
    await there_only(world, place, host, old_host)
    await world.act(place, "confirmResize", status=204)
    await world.settled(place)
    found = await snapshot(world, place)
    assert found["claims"] == [(host, server.attempt, False)]
    assert (found[old_host]["files"], found[old_host]["plugged"], found[old_host]["images"]) == ([], 0, [])
    await delete(world, place)


async def there_only(world: World, place: Place, host: str, old_host: str) -> None:
    """The guest, its port and its volume are on one host."""
    found = await snapshot(world, place)
    assert (found["ports"], found["attachments"]) == ([(host, True, "ACTIVE")], [(host, "attached", True)])
    assert [state for _, state in found[host]["domains"]] == [1]
    assert (found[host]["plugged"], found[old_host]["domains"]) == (1, [])
    assert not [name for name in found[old_host]["files"] if name.startswith("copy.")]


async def migrated_or_not(world: World, place: Place, before: dict[str, Any]) -> None:
    """What comes after the server is its new side does not take it back; a copy that stayed on a host goes when that
    is compared."""
    server = world.server(place)
    assert server is not None
    sweep(world, place)
    if server.status == "VERIFY_RESIZE":
        cache, image_id = world.hosts[str(server.host)].cache, travelling(place.server_id, server.attempt)
        cache.release(image_id, place.server_id)
        cache.discard(image_id)
    await (migrated if server.status == "VERIFY_RESIZE" else as_it_was)(world, place, before)


MIGRATE = replace(
    RESIZE,
    name="migrate",
    begin=migrate,
    steps=(
        *RESIZE.steps,
        "images.reserve",
        "hypervisor.flatten_disk",
        "images.upload",
        "images.fetch",
        "hypervisor.drop_flat",
        "images.forget",
        "images.withdraw",
    ),
    done=migrated,
    undone=migrated_or_not,
    forward_only=frozenset({"moves.complete", "images.withdraw"}),
    bare=frozenset({"hypervisor.drop_flat", "images.forget"}),
)

# -- evacuate


async def evacuate(world: World, place: Place) -> httpx.Response:
    """Of a host that has been silent for long, as far as this request knows: other cases need it."""
    server = world.server(place)
    assert server is not None
    request_id = f"req-{uuid.uuid4()}"
    token = world.services.sealer.seal(place.token, server_id=server.id, field="token")
    params = MoveParams(
        requester=Requester(
            request_id=request_id,
            project_id=place.project_id,
            user_id=place.user_id,
            token=token,
            token_server_id=server.id,
        ),
        begin=BeginMove(
            server_id=server.id,
            op=request_id,
            kind=MoveKind.EVACUATE,
            user_id=place.user_id,
            silent_since=time.time() + 3600,
        ),
    )
    context: Any = SimpleNamespace(request_id=request_id)
    try:
        await start.hold(world.services, context, server, Verb.EVACUATE, EvacuateServer.run, params)
    except KilonovaError as error:
        return httpx.Response(error.code)
    return httpx.Response(202)


async def evacuated(world: World, place: Place, before: dict[str, Any]) -> None:
    """It runs elsewhere, and what the old host still has of it stays taken until that has paid."""
    server = world.server(place)
    assert server is not None
    assert (server.status, server.op, server.move) == ("ACTIVE", None, None), server.fault
    host, old = str(server.host), before["claims"][0][0]
    found = await snapshot(world, place)
    assert host != old
    assert found["claims"] == [(old, 1, True), (host, server.attempt, False)]
    assert found["debts"] == [(old, 1)]
    assert (found["ports"], found["attachments"]) == ([(host, True, "ACTIVE")], [(host, "attached", True)])
    await pay(world, place, found)
    found = await snapshot(world, place)
    assert found == runs_on({**before, old: found[old], host: found[host]}, server.attempt, host)
    await delete(world, place)


async def gone_from_both(world: World, place: Place, before: dict[str, Any]) -> None:
    """Where it was done already, the old host still has to pay."""
    await pay(world, place, await snapshot(world, place))
    await gone(world, place, before)


_NOT_THERE = ("hypervisor.park", "hypervisor.carry_disk")
_EVACUATE = (*(step for step in RESIZE.steps if step not in _NOT_THERE), "images.fetch")
EVACUATE = Scenario(
    name="evacuate",
    workflow="EvacuateServer",
    prepare=boot,
    begin=evacuate,
    steps=_EVACUATE,
    done=evacuated,
    undone=as_it_was,
    gone=gone_from_both,
    admission=frozenset({"moves.begin"}),
    forward_only=frozenset({"moves.complete"}),
    local=RESIZE.local,
)

# -- repairs


async def lost_resize(world: World, place: Place) -> None:
    """The new side runs already, and the row does not say so."""
    await world.active(place)
    await lose(
        world, place.workflow_id, "ResizeServer", "hypervisor.spawn", lambda: world.act(place, "resize", **_RESIZE)
    )


async def moved_back(world: World, place: Place, before: dict[str, Any]) -> None:
    """The old side is the server, and runs; nothing is left of the other."""
    server = world.server(place)
    assert server is not None
    if server.status == "ERROR":
        # Its host did not do its part.
        await pay(world, place, await snapshot(world, place))
        await world.act(place, "reboot", argument={"type": "HARD"})
        await world.settled(place)
        server = world.server(place)
        assert server is not None
    assert (server.status, server.attempt, server.flavor.id) == ("ACTIVE", 1, "1"), server.fault
    assert (server.op, server.move) == (None, None)
    host = str(server.host)
    found = await snapshot(world, place)
    assert found == runs_on({**before, host: found[host], "tasks": [], "debts": []}, 1, host)
    await delete(world, place)


async def lost_confirmation(world: World, place: Place) -> None:
    await resize(world, place)
    await lose(
        world,
        place.workflow_id,
        "ConfirmResize",
        "hypervisor.remove",
        lambda: world.act(place, "confirmResize", status=204),
    )


async def confirmed_after_all(world: World, place: Place, before: dict[str, Any]) -> None:
    server = world.server(place)
    assert server is not None
    assert (server.status, server.attempt, server.flavor.id, server.move) == ("ACTIVE", 2, LARGER, None)
    found = await snapshot(world, place)
    assert (found["claims"], found["debts"]) == ([(server.host, 2, False)], [])
    await delete(world, place)


LOST = (
    Scenario(
        name="lost-resize",
        prepare=lost_resize,
        steps=("repairs.take_server", "hypervisor.unpark", "scheduling.release_claim", "moves.abandon"),
        done=moved_back,
        undone=moved_back,
        forward_only=frozenset({"repairs.take_server", "scheduling.release_claim", "moves.abandon"}),
        **LOST_SERVER,
    ),
    Scenario(
        name="lost-confirmation",
        prepare=lost_confirmation,
        steps=("repairs.take_server",),
        done=confirmed_after_all,
        undone=confirmed_after_all,
        forward_only=frozenset({"repairs.take_server"}),
        **LOST_SERVER,
    ),
)

SCENARIOS = (REBUILD, RESIZE, CONFIRM, REVERT, MIGRATE, EVACUATE, *LOST)
