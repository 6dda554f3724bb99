"""One scenario for each workflow: how its run begins, the steps it takes, and what the world is after it.

``done`` says that it succeeded, ``undone`` that it failed and took everything back; both get the world as it was
before.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx

from infra.db import claims, repairs
from infra.db.types import now
from tests.saga import drifting, faults
from tests.saga.snapshot import snapshot
from tests.saga.world import DEVICE_FLAVOR, Place, World, until
from workers import reconciling, sweeper

Check = Callable[[World, Place, dict[str, Any]], Awaitable[None]]


async def nothing(world: World, place: Place) -> None:
    return


async def gone(world: World, place: Place, before: dict[str, Any]) -> None:
    """The server was deleted, and nothing of it is left."""
    server = world.server(place)
    assert server is None or server.vm_state == "deleted", server
    assert await snapshot(world, place) == before


@dataclass(frozen=True)
class Scenario:
    name: str
    workflow: str
    """Its type, as registered."""
    steps: tuple[str, ...]
    """In no order: some run side by side."""
    begin: Callable[[World, Place], Awaitable[httpx.Response]]
    """The request, which may be refused."""
    done: Check
    undone: Check
    workflow_id: Callable[[Place], str] = lambda place: place.workflow_id
    prepare: Callable[[World, Place], Awaitable[Any]] = nothing
    admission: frozenset[str] = frozenset()
    """Steps whose failure refuses the request."""
    hosted: frozenset[str] = frozenset()
    """Steps whose host may say no, for another to be taken."""
    forward_only: frozenset[str] = frozenset()
    """Steps after which there is no way back: they are tried until they succeed."""
    local: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset()
    """Steps at which there is nothing to undo: nothing was done yet, or what was done stays."""
    deletable: bool = True
    shielded: bool = False
    """Nothing tells its steps to stop: a cancel or a delete waits for its end."""
    apart: bool = False
    """In a world of its own, one case after the other: what its run does is not one project's."""
    waits: frozenset[str] = frozenset()
    """Steps that are asked again, as often as it takes, until something is there."""
    undoes: bool = False
    """Whether what was done is taken back when a step fails, and not only the row let go of."""
    gone: Check = gone
    """What a delete that comes while it runs leaves."""


async def delete_and_compare(world: World, place: Place, before: dict[str, Any]) -> None:
    await world.delete(place)
    await world.settled(place)
    await gone(world, place, before)


def runs_on(found: dict[str, Any], attempt: int, host: str) -> dict[str, Any]:
    """What the world has of a running server of one attempt, and nothing of another attempt."""
    on_host = {
        "files": [f"config.{attempt}", f"disk.{attempt}", f"guest.{attempt}.json"],
        "domains": [(attempt, 1)],
        "plugged": 1,
        "images": ["11111111-1111-4111-8111-111111111111"],
    }
    return {
        **found,
        "claims": [(host, attempt, False)],
        "usage": (1, 1, 128),
        "ports": [(host, True, "ACTIVE")],
        "addresses": 1,
        "volumes": [(volume, "in-use") for volume, _ in found["volumes"]],
        "attachments": [(host, "attached", True)],
        "user data": True,
        host: {**found[host], **on_host, "networks": found[host]["networks"]},
    }


# -- boot


async def active(world: World, place: Place, before: dict[str, Any]) -> None:
    """ACTIVE, with everything once and on one host; deleted, nothing is left."""
    server = world.server(place)
    assert server is not None
    assert (server.status, server.task_state) == ("ACTIVE", None), server.fault
    found = await snapshot(world, place)
    assert len(found["ports"]) == 1
    host = str(server.host)
    networks = {host: {**before[host], "networks": found[host]["networks"]}}
    assert found == runs_on({**before, **networks}, server.attempt, host)
    await delete_and_compare(world, place, before)


async def in_error(world: World, place: Place, before: dict[str, Any]) -> None:
    """ERROR, with a fault that says why; nothing else is left, but the quota and the user data of a row that stays."""
    server = world.server(place)
    assert server is not None
    assert (server.status, server.task_state, server.host) == ("ERROR", None, None)
    assert server.fault is not None
    assert server.fault.message
    assert server.fault.message != "An unexpected error happened."
    outcome = await world.handle(place.workflow_id).result()
    assert outcome["state"] == "error"
    assert outcome["message"].startswith(server.fault.message)
    kept = {"usage": (1, 1, 128), "user data": True}
    assert await snapshot(world, place) == before | kept
    await delete_and_compare(world, place, before)


BOOT = Scenario(
    name="boot",
    workflow="BootServer",
    steps=(
        "identity.validate_token",
        "records.create_servers",
        "scheduling.claim_host",
        "records.place",
        "conductor.get_instance",
        "images.fetch",
        "networks.allocate",
        "networks.plug",
        "volumes.attach",
        "volumes.connect",
        "hypervisor.spawn",
        "volumes.complete",
        "records.set_active",
    ),
    begin=lambda world, place: world.boot(place, status=None),
    done=active,
    undone=in_error,
    undoes=True,
    admission=frozenset({"identity.validate_token", "records.create_servers"}),
    hosted=frozenset(
        {
            "images.fetch",
            "networks.allocate",
            "networks.plug",
            "volumes.attach",
            "volumes.connect",
            "hypervisor.spawn",
            "volumes.complete",
        }
    ),
    forward_only=frozenset({"records.set_active"}),
    local=frozenset(
        {
            "identity.validate_token",
            "records.create_servers",
            "records.place",
            "conductor.get_instance",
            "records.set_active",
        }
    ),
)


async def active_without_network(world: World, place: Place, before: dict[str, Any]) -> None:
    server = world.server(place)
    assert server is not None
    assert (server.status, server.task_state) == ("ACTIVE", None), server.fault
    found = await snapshot(world, place)
    assert (found["ports"], found["claims"]) == ([], [(server.host, server.attempt, False)])
    assert found[str(server.host)]["domains"] == [(server.attempt, 1)]
    await delete_and_compare(world, place, before)


BARE = replace(
    BOOT,
    name="boot-bare",
    steps=(
        *(step for step in BOOT.steps if not step.startswith(("networks.", "volumes."))),
        "host.accept",
    ),
    begin=lambda world, place: world.boot(place, status=None, networks="none", block_device_mapping_v2=[]),
    done=active_without_network,
    hosted=frozenset({"host.accept"}),
)


async def active_with_device(world: World, place: Place, before: dict[str, Any]) -> None:
    """The guest has the device that the server claimed, and only that."""
    server = world.server(place)
    assert server is not None
    assert (server.status, server.task_state) == ("ACTIVE", None), server.fault
    (claim,) = world.db.read_now(claims.of_server, server.id)
    found = await snapshot(world, place)
    assert (found["devices"], found["devices nobody has"]) == (1, [])
    guest = world.hosts[str(server.host)].driver.guest(server.id)
    assert guest.pci == tuple(device.address for device in claim.pci)
    await delete_and_compare(world, place, before)


WITH_DEVICE = replace(
    BARE,
    name="boot-device",
    begin=lambda world, place: world.boot(
        place, status=None, networks="none", block_device_mapping_v2=[], flavorRef=DEVICE_FLAVOR
    ),
    done=active_with_device,
)

# -- delete


async def boot(world: World, place: Place) -> None:
    await world.active(place)


async def deleted(world: World, place: Place, before: dict[str, Any]) -> None:
    """What the server had is given back; its project has nothing but its volume."""
    server = world.server(place)
    assert server is not None
    assert server.vm_state == "deleted"
    await nothing_left(world, place)


async def nothing_left(
    world: World, place: Place, *, usage: tuple[int, int, int] = (0, 0, 0), user_data: bool = False
) -> None:
    """The project has its volume, and what is named."""
    found = await snapshot(world, place)
    for name in world.hosts:
        assert found[name] == {
            "files": [],
            "domains": [],
            "plugged": 0,
            "networks": [],
            "leftovers": [],
            "images": [],
        }
    for name in ("claims", "debts", "ports", "attachments", "tasks", "open runs"):
        assert found[name] == [], name
    assert (found["usage"], found["addresses"], found["user data"]) == (usage, 0, user_data)
    assert found["volumes"] == [(place.volume_id, "available")]
    assert found["volume data"] == [place.volume_id]


async def paid_later(world: World, place: Place, before: dict[str, Any]) -> None:
    """The host did not confirm: the server is gone for its user, and what its guest could touch stays taken until
    the host has paid its debt."""
    server = world.server(place)
    assert server is not None
    assert server.vm_state == "deleted"
    found = await snapshot(world, place)
    host = found["claims"][0][0]
    assert found["claims"] == [(host, server.attempt, True)]
    assert found["debts"] == [(host, server.attempt)]
    assert found["usage"] == (0, 0, 0)
    assert (len(found["ports"]), found["addresses"], len(found["attachments"])) == (1, 1, 1)
    # Its own debt only: other cases look at theirs at the same time.
    await world.hosts[host].host.upkeep.pay_one(place.server_id, server.attempt, [])
    await deleted(world, place, before)


DELETE = Scenario(
    name="delete",
    workflow="DeleteServer",
    steps=(
        "records.mark_deleting",
        "hypervisor.remove",
        "networks.unplug",
        "images.release",
        "networks.deallocate",
        "volumes.detach",
        "scheduling.release_all",
        "records.set_deleted",
    ),
    prepare=boot,
    begin=lambda world, place: world.delete(place, status=None),
    done=deleted,
    undone=paid_later,
    forward_only=frozenset(
        {
            "records.mark_deleting",
            "networks.deallocate",
            "volumes.detach",
            "scheduling.release_all",
            "records.set_deleted",
        }
    ),
    local=frozenset({"records.mark_deleting"}),
    shielded=True,
)

# -- power


async def stopped(world: World, place: Place, before: dict[str, Any]) -> None:
    server = world.server(place)
    assert server is not None
    assert (server.status, server.task_state, server.power_state) == ("SHUTOFF", None, 4)
    found = await snapshot(world, place)
    host = str(server.host)
    ports = [(host, True, "DOWN")]
    assert found == before | {host: before[host] | {"domains": [(server.attempt, 4)]}, "ports": ports}
    await world.delete(place)
    await world.settled(place)


async def as_it_was(world: World, place: Place, before: dict[str, Any]) -> None:
    """The row is as before; of the guest itself a verb that failed says nothing, the host's reports do."""
    server = world.server(place)
    assert server is not None
    assert server.task_state is None
    found, host = await snapshot(world, place), str(server.host)
    assert found == before | {host: before[host] | {"domains": found[host]["domains"]}}
    await world.delete(place)
    await world.settled(place)


async def shut_off(world: World, place: Place) -> None:
    await world.active(place)
    await world.act(place, "os-stop")
    await world.settled(place)


async def running(world: World, place: Place, before: dict[str, Any]) -> None:
    server = world.server(place)
    assert server is not None
    assert (server.status, server.task_state, server.power_state) == ("ACTIVE", None, 1)
    found = await snapshot(world, place)
    host = str(server.host)
    ports = [(host, True, "ACTIVE")]
    assert found == before | {host: before[host] | {"domains": [(server.attempt, 1)]}, "ports": ports}
    await world.delete(place)
    await world.settled(place)


_POWER: dict[str, Any] = {
    "workflow": "PowerServer",
    "steps": ("records.begin_verb", "hypervisor.power", "records.end_verb"),
    "undone": as_it_was,
    "admission": frozenset({"records.begin_verb"}),
    "forward_only": frozenset({"records.end_verb"}),
    "local": frozenset({"records.begin_verb", "records.end_verb"}),
}
STOP = Scenario(
    name="stop",
    prepare=boot,
    begin=lambda world, place: world.act(place, "os-stop", status=None),
    done=stopped,
    **_POWER,
)
START = Scenario(
    name="start",
    prepare=shut_off,
    begin=lambda world, place: world.act(place, "os-start", status=None),
    done=running,
    **_POWER,
)


async def undefined(world: World, place: Place) -> None:
    """It is off, and somebody has taken its domain out of the hypervisor."""
    await shut_off(world, place)
    server = world.server(place)
    assert server is not None
    world.hosts[str(server.host)].driver.destroy(place.server_id)


_READS = ("conductor.get_guest", "images.find", "networks.plug", "volumes.find", "volumes.connect")
UNDEFINED = Scenario(
    name="start-undefined",
    prepare=undefined,
    begin=lambda world, place: world.act(place, "os-start", status=None),
    done=running,
    **{
        **_POWER,
        "steps": (*_POWER["steps"], *_READS, "hypervisor.rebuild"),
        "local": _POWER["local"] | {"conductor.get_guest"},
    },
)

# -- images of servers


async def saved(world: World, place: Place, before: dict[str, Any]) -> None:
    """The image has its data, and nothing else has changed."""
    server = world.server(place)
    assert server is not None
    assert (server.status, server.task_state) == ("ACTIVE", None)
    assert await snapshot(world, place) == before | {"images": [("active", True)], "image data": 1}
    await world.delete(place)
    await world.settled(place)


async def not_saved(world: World, place: Place, before: dict[str, Any]) -> None:
    assert await snapshot(world, place) == before
    # It may be saved as if nothing had been.
    await save(world, place, status=202)
    await world.settled(place)
    await saved(world, place, before)


def sweep(world: World, place: Place) -> None:
    """As a host does with copies whose run is over, when it is compared: here of one server, as others look at theirs
    meanwhile."""
    for host in world.hosts.values():
        for path in (host.directory / "instances" / place.server_id).glob("copy.*"):
            path.unlink()


async def saved_or_not(world: World, place: Place, before: dict[str, Any]) -> None:
    sweep(world, place)
    images = (await snapshot(world, place))["images"]
    await (saved if images else not_saved)(world, place, before)


async def gone_but_for_its_image(world: World, place: Place, before: dict[str, Any]) -> None:
    """The image is whole, or gone with its server."""
    images = (await snapshot(world, place))["images"]
    await gone(world, place, before | ({"images": [("active", True)], "image data": 1} if images else {}))


async def save(world: World, place: Place, *, status: int | None = None) -> httpx.Response:
    return await world.act(place, "createImage", argument={"name": "copy", "metadata": {"a": "1"}}, status=status)


IMAGE = Scenario(
    name="image",
    workflow="CreateImage",
    steps=(
        "records.begin_verb",
        "images.reserve",
        "hypervisor.copy_disk",
        "images.upload",
        "hypervisor.drop_copy",
        "records.end_verb",
    ),
    prepare=boot,
    begin=save,
    done=saved,
    undone=saved_or_not,
    gone=gone_but_for_its_image,
    undoes=True,
    admission=frozenset({"records.begin_verb", "images.reserve"}),
    forward_only=frozenset({"records.end_verb"}),
    local=frozenset({"records.begin_verb", "records.end_verb"}),
    bare=frozenset({"hypervisor.drop_copy"}),
)

# -- volumes of servers


async def boot_without_volume(world: World, place: Place) -> None:
    await world.active(place, block_device_mapping_v2=[], user_data=None)


async def attached(world: World, place: Place, before: dict[str, Any]) -> None:
    server = world.server(place)
    assert server is not None
    host = str(server.host)
    disks = [disk.serial for disk in world.hosts[host].driver.guest(place.server_id).disks]
    assert disks.count(place.volume_id[:20]) == 1
    assert await snapshot(world, place) == before | {
        "volumes": [(place.volume_id, "in-use")],
        "attachments": [(host, "attached", True)],
    }
    await world.delete(place)
    await world.settled(place)


async def not_attached(world: World, place: Place, before: dict[str, Any]) -> None:
    server = world.server(place)
    assert server is not None
    disks = [disk.serial for disk in world.hosts[str(server.host)].driver.guest(place.server_id).disks]
    assert place.volume_id[:20] not in disks
    assert await snapshot(world, place) == before
    # It may be attached as if nothing had been.
    await world.attach(place)
    await world.settled(place)
    assert (await snapshot(world, place))["attachments"] == [(server.host, "attached", True)]
    await world.delete(place)
    await world.settled(place)


def _on_volume(place: Place) -> str:
    return f"{place.workflow_id}/volume/{place.volume_id}"


ATTACH = Scenario(
    name="attach",
    workflow="AttachVolume",
    workflow_id=_on_volume,
    steps=(
        "attachments.begin",
        "volumes.attach",
        "hypervisor.attach_disk",
        "volumes.complete",
        "attachments.end",
    ),
    prepare=boot_without_volume,
    begin=lambda world, place: world.attach(place, status=None),
    done=attached,
    undone=not_attached,
    undoes=True,
    admission=frozenset({"attachments.begin"}),
    forward_only=frozenset({"attachments.end"}),
    local=frozenset({"attachments.begin", "attachments.end"}),
)


async def boot_and_attach(world: World, place: Place) -> None:
    await boot_without_volume(world, place)
    await world.attach(place)
    await world.settled(place)


async def detached(world: World, place: Place, before: dict[str, Any]) -> None:
    server = world.server(place)
    assert server is not None
    disks = [disk.serial for disk in world.hosts[str(server.host)].driver.guest(place.server_id).disks]
    assert place.volume_id[:20] not in disks
    found = await snapshot(world, place)
    assert found == before | {"volumes": [(place.volume_id, "available")], "attachments": []}
    await world.delete(place)
    await world.settled(place)


async def still_attached(world: World, place: Place, before: dict[str, Any]) -> None:
    assert await snapshot(world, place) == before
    # It may be detached as if nothing had been.
    await world.detach(place)
    await world.settled(place)
    await detached(world, place, before)


DETACH = Scenario(
    name="detach",
    workflow="DetachVolume",
    workflow_id=_on_volume,
    steps=("attachments.begin_detach", "hypervisor.detach_disk", "volumes.detach", "attachments.end"),
    prepare=boot_and_attach,
    begin=lambda world, place: world.detach(place, status=None),
    done=detached,
    undone=still_attached,
    undoes=True,
    admission=frozenset({"attachments.begin_detach"}),
    forward_only=frozenset({"volumes.detach", "attachments.end"}),
    local=frozenset({"attachments.begin_detach", "attachments.end"}),
)

# -- repairs


async def lose(world: World, workflow_id: str, workflow: str, step: str, begin: Callable[[], Awaitable[Any]]) -> None:
    """A request whose run is terminated after the effect of one of its steps."""
    tasks: list[asyncio.Task[Any]] = []
    hang = faults.until_told(lambda: world.handle(workflow_id).terminate(), tasks)

    async def act(n: int, call: faults.Call) -> Any:
        await call()
        return await hang(n, call)

    rule = world.faults.add(workflow_id, workflow, step, act)
    await begin()
    await until(lambda: rule.calls > 0, 30, lambda: f"{step} was never run")
    await until(lambda: not world.faults.running.get(workflow_id), 30, lambda: f"{step} still runs")
    await asyncio.gather(*tasks)
    world.faults.forget(workflow_id)


async def repair(world: World, place: Place) -> httpx.Response:
    """What the sweeper does about this server, and its attachments, when a while has passed."""
    started = [
        await sweeper.repair_server(world.client, held)
        for held in world.db.read_now(repairs.held_servers, now())
        if held.server_id == place.server_id
    ]
    started += [
        await sweeper.repair_attachment(world.client, held)
        for held in world.db.read_now(repairs.held_attachments, now())
        if held.server_id == place.server_id
    ]
    assert started == [True]
    return httpx.Response(202)


async def lost_boot(world: World, place: Place) -> None:
    """Its guest runs already."""
    await lose(world, place.workflow_id, "BootServer", "volumes.complete", lambda: world.boot(place))


async def boot_undone(world: World, place: Place, before: dict[str, Any]) -> None:
    """ERROR, with a fault that says who ended it, and nothing left of it; where its host did not do its part, what
    the guest could touch stays taken until it has."""
    server = world.server(place)
    assert server is not None
    assert (server.status, server.task_state, server.op, server.host) == ("ERROR", None, None, None)
    assert server.fault is not None
    assert "terminated by an operator" in server.fault.message
    found = await snapshot(world, place)
    for host, attempt in found["debts"]:
        # A debt that is written down late is of what was removed already, and is paid by looking.
        if found["claims"]:
            assert found["claims"] == [(host, attempt, True)]
            assert (len(found["ports"]), found["addresses"], len(found["attachments"])) == (1, 1, 1)
        await world.hosts[host].host.upkeep.pay_one(place.server_id, attempt)
    await nothing_left(world, place, usage=(1, 1, 128), user_data=True)
    await world.delete(place)
    await world.settled(place)
    await nothing_left(world, place)


async def lost_delete(world: World, place: Place) -> None:
    await world.active(place)
    await lose(world, place.workflow_id, "DeleteServer", "hypervisor.remove", lambda: world.delete(place))


async def lost_stop(world: World, place: Place) -> None:
    """The guest is off, and the row does not say so."""
    await world.active(place)
    await lose(world, place.workflow_id, "PowerServer", "hypervisor.power", lambda: world.act(place, "os-stop"))


async def as_its_host_sees_it(world: World, place: Place, before: dict[str, Any]) -> None:
    ports = [(host, bound, "DOWN") for host, bound, _ in before["ports"]]
    await let_go(world, place, before | {"ports": ports}, ("SHUTOFF", None, 4))


async def as_its_row_had_it(world: World, place: Place, before: dict[str, Any]) -> None:
    await let_go(world, place, before, ("ACTIVE", None, 1))


async def let_go(world: World, place: Place, wanted: dict[str, Any], state: tuple[str, None, int]) -> None:
    server = world.server(place)
    assert server is not None
    assert (server.status, server.task_state, server.power_state) == state
    assert await snapshot(world, place) == wanted | {"tasks": []}
    path = f"/compute/v2.1/servers/{place.server_id}/os-instance-actions"
    actions = (await world.call(place, "GET", path, status=200)).json()["instanceActions"]
    assert {action["action"]: action["message"] for action in actions}["stop"] == "Error"
    # The next verb finds nobody in its way.
    await world.act(place, "os-start" if state[0] == "SHUTOFF" else "os-stop")
    await world.delete(place)
    await world.settled(place)


async def lost_attach(world: World, place: Place) -> None:
    await boot_without_volume(world, place)
    await lose(world, _on_volume(place), "AttachVolume", "hypervisor.attach_disk", lambda: world.attach(place))


async def attach_undone(world: World, place: Place, before: dict[str, Any]) -> None:
    await not_attached(world, place, before | {"volumes": [(place.volume_id, "available")], "attachments": []})


async def lost_detach(world: World, place: Place) -> None:
    await boot_and_attach(world, place)
    await lose(world, _on_volume(place), "DetachVolume", "hypervisor.detach_disk", lambda: world.detach(place))


LOST_SERVER: dict[str, Any] = {
    "workflow": "RepairServer",
    "begin": repair,
    "local": frozenset({"repairs.take_server", "records.end_verb"}),
    "shielded": True,
}
_LOST_ATTACHMENT: dict[str, Any] = {
    "workflow": "RepairAttachment",
    "workflow_id": _on_volume,
    "begin": repair,
    "steps": ("repairs.take_attachment", "hypervisor.detach_disk", "repairs.end_attachment"),
    "forward_only": frozenset({"repairs.take_attachment", "hypervisor.detach_disk", "repairs.end_attachment"}),
    "local": frozenset({"repairs.take_attachment", "repairs.end_attachment"}),
    "shielded": True,
}
LOST = (
    Scenario(
        name="lost-boot",
        prepare=lost_boot,
        steps=(
            "repairs.take_server",
            "records.owe_cleanup",
            "upkeep.pay",
            "scheduling.release_all",
            "records.set_error",
        ),
        done=boot_undone,
        undone=boot_undone,
        forward_only=frozenset(
            {"repairs.take_server", "records.owe_cleanup", "scheduling.release_all", "records.set_error"}
        ),
        **LOST_SERVER,
    ),
    Scenario(
        name="lost-delete",
        prepare=lost_delete,
        steps=("repairs.take_server",),
        done=deleted,
        undone=deleted,
        forward_only=frozenset({"repairs.take_server"}),
        **LOST_SERVER,
    ),
    Scenario(
        name="lost-stop",
        prepare=lost_stop,
        steps=("repairs.take_server", "hypervisor.read_state", "records.end_verb"),
        done=as_its_host_sees_it,
        undone=as_its_row_had_it,
        forward_only=frozenset({"repairs.take_server", "records.end_verb"}),
        **LOST_SERVER,
    ),
    Scenario(name="lost-attach", prepare=lost_attach, done=attach_undone, undone=attach_undone, **_LOST_ATTACHMENT),
    Scenario(
        name="lost-detach",
        prepare=lost_detach,
        done=detached,
        undone=detached,
        **_LOST_ATTACHMENT,
    ),
)

# -- hosts


async def reconcile(world: World, place: Place) -> httpx.Response:
    found = await reconciling.reconcile(world.client, drifting.HOST, f"req-{uuid.uuid4()}")
    # It answers before it closes.
    await world.handle(f"host/{drifting.HOST}").result()
    return httpx.Response(200, json=found.model_dump())


async def mended(world: World, place: Place, before: dict[str, Any]) -> None:
    """All that was wrong is right; the server that was right, and the one that a verb holds, are as they were."""
    assert drifting.left(world, place) == drifting.MENDED
    again = (await reconcile(world, place)).json()
    assert again["mended"] == []
    world.db.write_now(drifting.forget, place)
    await world.delete(place)
    await world.settled(place)
    await reconcile(world, place)
    assert drifting.left(world, place)["images"] == []


async def mended_by_the_next(world: World, place: Place, before: dict[str, Any]) -> None:
    """The host did not do its part: the rows are right, and another run does the rest."""
    found = drifting.left(world, place)
    rows = ("claims", "counted", "attachments", "ports")
    assert {name: found[name] for name in rows} == {name: drifting.MENDED[name] for name in rows}
    await reconcile(world, place)
    await mended(world, place, before)


RECONCILE = Scenario(
    name="reconcile",
    workflow="ReconcileHost",
    workflow_id=lambda place: f"host/{drifting.HOST}",
    prepare=drifting.plant,
    begin=reconcile,
    steps=("upkeep.tidy", "drift.settle"),
    done=mended,
    undone=mended_by_the_next,
    forward_only=frozenset({"drift.settle"}),
    deletable=False,
    shielded=True,
    apart=True,
)

SCENARIOS = (BOOT, BARE, WITH_DEVICE, DELETE, STOP, START, UNDEFINED, IMAGE, ATTACH, DETACH, *LOST, RECONCILE)
