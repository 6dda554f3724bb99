"""``python -m tests.replay.record``: runs every kind of workflow once and keeps its history.

Done when a workflow is added, or gets a path that no kept history takes. Histories that are kept are never replaced:
runs like them may be open while the code is upgraded. A name that is there already is left alone.
"""

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHandle

from tests.saga import faults
from tests.saga.every import SCENARIOS
from tests.saga.scenarios import Scenario, boot
from tests.saga.shelves import shelve
from tests.saga.world import Place, World, temporal_server, until, world

HISTORIES = Path(__file__).parent / "histories"


async def boot_on_the_second_host(world: World, place: Place) -> str:
    world.faults.add(place.workflow_id, "BootServer", "networks.plug", faults.refuses())
    await boot(world, place)
    return place.workflow_id


async def boot_that_fails(world: World, place: Place) -> str:
    world.faults.add(place.workflow_id, "BootServer", "hypervisor.spawn", faults.breaks_before())
    await world.boot(place)
    await world.settled(place)
    return place.workflow_id


async def boot_that_is_deleted(world: World, place: Place) -> str:
    """The boot's own run: what follows it under the same id is the delete."""
    tasks: list[asyncio.Task[object]] = []
    act = faults.until_told(lambda: world.delete(place), tasks)
    world.faults.add(place.workflow_id, "BootServer", "images.fetch", act)
    await world.boot(place)
    run = (await world.handle(place.workflow_id).describe()).run_id
    await world.settled(place)
    return f"{place.workflow_id}#{run}"


async def several(world: World, place: Place) -> str:
    reply = await world.boot(place, block_device_mapping_v2=[], min_count=2, max_count=2)
    server_id = reply.json()["server"]["id"]
    await world.settled(place)
    return f"reservation/r-{server_id.replace('-', '')[:8]}-{server_id}"


async def volume(world: World, place: Place) -> str:
    path = f"/volume/v3/{place.project_id}/volumes"
    made = (await world.call(place, "POST", path, {"volume": {"size": 1}}, status=202)).json()["volume"]["id"]
    await until(lambda: made in world.volumes.volumes(), 30, lambda: "no volume")
    return f"volume/{made}"


async def console(world: World, place: Place) -> str:
    await boot(world, place)
    reply = await world.act(place, "os-getConsoleOutput", argument={}, status=200)
    return f"console/{reply.headers['x-openstack-request-id']}"


async def backup(world: World, place: Place) -> str:
    """The second one of a server, which takes the place of the first."""
    await boot(world, place)
    for name in ("first", "second"):
        await world.act(place, "createBackup", argument={"name": name, "backup_type": "daily", "rotation": 1})
        await world.settled(place)
    return place.workflow_id


async def stuck(world: World, place: Place) -> str:
    """A delete whose port can't be given back at first."""
    await boot(world, place)
    world.faults.add(place.workflow_id, "DeleteServer", "networks.deallocate", faults.breaks_before(1))
    await world.delete(place)
    await world.settled(place)
    return place.workflow_id


async def stuck_beside(world: World, place: Place) -> str:
    """A delete whose port and volume can't be given back at first."""
    await boot(world, place)
    for step in ("networks.deallocate", "volumes.detach"):
        world.faults.add(place.workflow_id, "DeleteServer", step, faults.breaks_before(1))
    await world.delete(place)
    await world.settled(place)
    return place.workflow_id


async def save_for_the_shelf(world: World, place: Place) -> str:
    """The shelve's own run: what follows it under the same id is the way off its host."""
    await shelve(world, place)
    described = await world.handle(place.workflow_id).describe()
    return f"{place.workflow_id}#{described.raw_description.workflow_execution_info.first_run_id}"


OTHERS: dict[str, Callable[[World, Place], Awaitable[str]]] = {
    "boot-second-host": boot_on_the_second_host,
    "boot-fails": boot_that_fails,
    "boot-deleted": boot_that_is_deleted,
    "boot-several": several,
    "delete-stuck-shown": stuck,
    "delete-stuck-beside": stuck_beside,
    "shelve-saved": save_for_the_shelf,
    "volume": volume,
    "console": console,
    "backup": backup,
}


async def record() -> None:
    HISTORIES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as another:
        async with (
            temporal_server("record", "apart") as address,
            world(Path(folder), (address, "record"), ("a", "b")) as made,
            world(Path(another), (address, "apart"), ("a",)) as apart,
        ):
            for scenario in SCENARIOS:
                if _is_new(scenario.name):
                    await _record(apart if scenario.apart else made, scenario)
            for name, run in OTHERS.items():
                if _is_new(name):
                    await _keep(made, name, await run(made, await made.place()))


async def _record(world: World, scenario: Scenario) -> None:
    place = await world.place()
    await scenario.prepare(world, place)
    await scenario.begin(world, place)
    await world.settled(place)
    await _keep(world, scenario.name, scenario.workflow_id(place))


def _is_new(name: str) -> bool:
    return not (HISTORIES / f"{name}.json").exists()


async def _keep(world: World, name: str, workflow_id: str) -> None:
    id, _, run = workflow_id.partition("#")
    handle = world.client.get_workflow_handle(id, run_id=run or None)
    await until(lambda: _closed(handle), 30, lambda: f"{name} is still open")
    history = json.loads((await handle.fetch_history()).to_json())
    (HISTORIES / f"{name}.json").write_text(json.dumps(_without_traces(history), indent=2) + "\n")


def _without_traces(part: Any) -> Any:
    """Stack traces name the folders of whoever recorded them, and a replay does not read them."""
    if isinstance(part, dict):
        return {key: _without_traces(value) for key, value in part.items() if key != "stackTrace"}
    return [_without_traces(value) for value in part] if isinstance(part, list) else part


async def _closed(handle: WorkflowHandle[Any, Any]) -> bool:
    return (await handle.describe()).close_time is not None


if __name__ == "__main__":
    asyncio.run(record())
