"""What does not get through is seen: on the run, on the server, in the metrics, and by one command."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowExecutionStatus

from infra.db import problems, repairs
from infra.db.types import now
from infra.temporal import attributes
from tests.saga import faults
from tests.saga.scenarios import boot_undone, gone, lost_boot, repair
from tests.saga.snapshot import snapshot
from tests.saga.world import World, until
from workers import operators, sweeper


async def _metrics(world: World) -> dict[str, str]:
    reply = await world.http.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return dict(line.split(" ") for line in reply.text.splitlines() if not line.startswith("#"))


async def test_an_undo_that_does_not_get_through_is_seen_until_it_does(apart: World) -> None:
    place, released = await apart.place(), asyncio.Event()
    before = await snapshot(apart, place)
    await apart.active(place)
    path = f"/compute/v2.1/servers/{place.server_id}"
    assert "kilonova:stuck_undo" not in (await apart.as_admin(place, "GET", path))["server"]

    async def act(n: int, call: faults.Call) -> Any:
        return await (call() if released.is_set() else faults.breaks_before()(n, call))

    apart.faults.add(place.workflow_id, "DeleteServer", "networks.deallocate", act)
    await apart.delete(place)
    await until(lambda: getattr(apart.server(place), "stuck_undo", None), 30, lambda: "it never showed as stuck")
    shown = await apart.handle(place.workflow_id).describe()
    assert shown.typed_search_attributes[attributes.STUCK] == "networks.deallocate"
    assert "networks.deallocate" in (await apart.as_admin(place, "GET", path))["server"]["kilonova:stuck_undo"]
    assert "kilonova:stuck_undo" not in (await apart.call(place, "GET", path)).json()["server"]
    assert await _metrics(apart) == {"kilonova_stuck_undos": "1", "kilonova_debts": "0", "kilonova_held_rows": "0"}
    found = apart.db.read_now(problems.find)
    assert [place.server_id in line for line in operators.stuck_and_owed(found)] == [True]
    released.set()
    await apart.settled(place)
    shown = await apart.handle(place.workflow_id).describe()
    assert attributes.STUCK not in shown.typed_search_attributes
    await apart.replay(place.workflow_id)
    assert (await _metrics(apart))["kilonova_stuck_undos"] == "0"
    apart.faults.forget(place.workflow_id)
    await gone(apart, place, before)


async def test_a_row_that_no_run_holds_is_told_apart_from_one_that_a_run_holds(apart: World) -> None:
    place = await apart.place()
    await lost_boot(apart, place)
    found = apart.db.read_now(problems.find, timedelta(0))
    lines = [line async for line in operators.held(found, apart.client)]
    assert [("terminated by an operator" in line, place.server_id in line) for line in lines] == [(True, True)]
    assert len([line async for line in operators.held(found, None)]) == 1
    held = [one for one in apart.db.read_now(repairs.held_servers, now()) if one.server_id == place.server_id]
    await repair(apart, place)
    await apart.settled(place)
    # Somebody who saw the row before comes late: it is not held any more.
    await sweeper.repair_server(apart.client, held[0])
    await apart.settled(place)
    assert await apart.status_of(place.workflow_id) == WorkflowExecutionStatus.COMPLETED
    await boot_undone(apart, place, {})
