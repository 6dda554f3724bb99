"""Scenarios of network interfaces that come to a server that runs, and leave it: here the user's own port."""

from dataclasses import replace
from typing import Any

import httpx

from infra.db import interfaces, ports
from infra.db.types import now
from infra.domain.network import NetworkQuota, NewPort
from tests.saga.scenarios import Scenario, boot_without_volume, gone, lose
from tests.saga.snapshot import snapshot
from tests.saga.world import Place, World
from workers import sweeper

PORTS_WITHOUT = [("", False, "DOWN")]


def on_port(place: Place) -> str:
    return interfaces.workflow_id(place.server_id, place.port_id)


async def attach(world: World, place: Place, *, status: int | None = None) -> httpx.Response:
    body = {"interfaceAttachment": {"port_id": place.port_id, "tag": "second"}}
    path = f"/compute/v2.1/servers/{place.server_id}/os-interface"
    return await world.call(place, "POST", path, body, status=status)


async def detach(world: World, place: Place, *, status: int | None = None) -> httpx.Response:
    path = f"/compute/v2.1/servers/{place.server_id}/os-interface/{place.port_id}"
    return await world.call(place, "DELETE", path, status=status)


async def boot_beside_a_port(world: World, place: Place) -> None:
    new = NewPort(id=place.port_id, project_id=place.project_id, network_id=place.network_id)
    world.db.write_now(ports.create, new, NetworkQuota())
    await boot_without_volume(world, place)


async def boot_and_attach(world: World, place: Place) -> None:
    await boot_beside_a_port(world, place)
    await attach(world, place, status=200)
    await world.settled(place)


def has_it(world: World, place: Place) -> tuple[bool, bool, bool, bool]:
    """Whether the guest has the interface, is told of it, the row names it, and a request holds it."""
    server = world.server(place)
    assert server is not None
    host = world.hosts[str(server.host)]
    told = host.host.files.metadata(place.server_id)
    assert told is not None
    return (
        place.port_id in {one.port_id for one in host.driver.guest(place.server_id).interfaces},
        place.port_id in {nic.port_id for nic in told.nics},
        place.port_id in {entry.port_id for entry in server.networks},
        place.port_id in world.db.read_now(interfaces.of_server, place.server_id),
    )


async def attached(world: World, place: Place, before: dict[str, Any]) -> None:
    """It runs on with both; deleted, its user has the port as it was."""
    server = world.server(place)
    assert server is not None
    host = str(server.host)
    assert has_it(world, place) == (True, True, True, False)
    both = {"ports": [(host, True, "ACTIVE")] * 2, host: before[host] | {"plugged": 2}}
    assert await snapshot(world, place) == before | both
    path = f"/compute/v2.1/servers/{place.server_id}/os-interface"
    shown = (await world.call(place, "GET", path, status=200)).json()["interfaceAttachments"]
    assert {one["port_id"]: one["tag"] for one in shown}[place.port_id] == "second"
    await world.delete(place)
    await world.settled(place)
    assert (await snapshot(world, place))["ports"] == PORTS_WITHOUT


async def not_attached(world: World, place: Place, before: dict[str, Any]) -> None:
    assert has_it(world, place) == (False, False, False, False)
    assert await snapshot(world, place) == before
    # It may be attached as if nothing had been.
    await attach(world, place, status=200)
    await world.settled(place)
    await attached(world, place, before)


async def detached(world: World, place: Place, before: dict[str, Any]) -> None:
    server = world.server(place)
    assert server is not None
    host = str(server.host)
    assert has_it(world, place) == (False, False, False, False)
    one = {"ports": [*PORTS_WITHOUT, (host, True, "ACTIVE")], host: before[host] | {"plugged": 1}}
    assert await snapshot(world, place) == before | one
    await world.delete(place)
    await world.settled(place)


async def still_attached(world: World, place: Place, before: dict[str, Any]) -> None:
    assert await snapshot(world, place) == before
    # It may be detached as if nothing had been.
    await detach(world, place, status=202)
    await world.settled(place)
    await detached(world, place, before)


async def gone_but_for_the_port(world: World, place: Place, before: dict[str, Any]) -> None:
    await gone(world, place, before | {"ports": PORTS_WITHOUT, "addresses": 1})


ATTACH = Scenario(
    name="attach-interface",
    workflow="AttachInterface",
    workflow_id=on_port,
    steps=(
        "interfaces.begin",
        "networks.allocate",
        "networks.plug_interface",
        "hypervisor.attach_interface",
        "interfaces.complete",
    ),
    prepare=boot_beside_a_port,
    begin=attach,
    done=attached,
    undone=not_attached,
    gone=gone_but_for_the_port,
    undoes=True,
    admission=frozenset({"interfaces.begin", "networks.allocate"}),
    forward_only=frozenset({"interfaces.complete"}),
    local=frozenset({"interfaces.begin", "interfaces.complete"}),
)
DETACH = Scenario(
    name="detach-interface",
    workflow="DetachInterface",
    workflow_id=on_port,
    steps=(
        "interfaces.begin_detach",
        "hypervisor.detach_interface",
        "networks.unplug_interface",
        "networks.deallocate",
        "interfaces.end",
    ),
    prepare=boot_and_attach,
    begin=detach,
    done=detached,
    undone=still_attached,
    gone=gone_but_for_the_port,
    undoes=True,
    admission=frozenset({"interfaces.begin_detach"}),
    forward_only=frozenset({"networks.unplug_interface", "networks.deallocate", "interfaces.end"}),
    local=frozenset({"interfaces.begin_detach", "interfaces.end"}),
)

# -- repairs


async def repair(world: World, place: Place) -> httpx.Response:
    """What the sweeper does about the port when a while has passed."""
    held = [one for one in world.db.read_now(interfaces.held, now()) if one.server_id == place.server_id]
    assert [await sweeper.repair_interface(world.client, one) for one in held] == [True]
    return httpx.Response(202)


async def lost_attach(world: World, place: Place) -> None:
    await boot_beside_a_port(world, place)
    await lose(world, on_port(place), "AttachInterface", "hypervisor.attach_interface", lambda: attach(world, place))


async def lost_detach(world: World, place: Place) -> None:
    await boot_and_attach(world, place)
    await lose(world, on_port(place), "DetachInterface", "hypervisor.detach_interface", lambda: detach(world, place))


LOST_ATTACH = Scenario(
    name="lost-attach-interface",
    workflow="RepairInterface",
    workflow_id=on_port,
    prepare=lost_attach,
    begin=repair,
    steps=(
        "interfaces.take",
        "hypervisor.detach_interface",
        "networks.unplug_interface",
        "networks.deallocate",
        "interfaces.end",
    ),
    done=detached,
    undone=detached,
    gone=gone_but_for_the_port,
    forward_only=frozenset(
        {
            "interfaces.take",
            "hypervisor.detach_interface",
            "networks.unplug_interface",
            "networks.deallocate",
            "interfaces.end",
        }
    ),
    local=frozenset({"interfaces.take", "interfaces.end"}),
    shielded=True,
)
LOST_DETACH = replace(LOST_ATTACH, name="lost-detach-interface", prepare=lost_detach)

SCENARIOS = (ATTACH, DETACH, LOST_ATTACH, LOST_DETACH)
