"""What does not get through is seen: on the run, on the server, in the metrics, and by one command."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowExecutionStatus

from infra.db import problems, repairs
from infra.db.types import now
from infra.temporal import attributes
from tests.saga import drifting, faults
from tests.saga.scenarios import boot_undone, gone, lost_boot, reconcile, repair
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
    counted = {"kilonova_stuck_undos": "1", "kilonova_debts": "0", "kilonova_held_rows": "0"}
    assert (await _metrics(apart)).items() >= counted.items()
    found = apart.db.read_now(problems.find)
    assert [place.server_id in line for line in operators.lasting(found) if line.startswith("stuck")] == [True]
    released.set()
    await apart.settled(place)
    shown = await apart.handle(place.workflow_id).describe()
    assert attributes.STUCK not in shown.typed_search_attributes
    await apart.replay(place.workflow_id)
    assert (await _metrics(apart))["kilonova_stuck_undos"] == "0"
    apart.faults.forget(place.workflow_id)
    await gone(apart, place, before)


async def test_one_undo_that_gets_through_does_not_hide_another(apart: World) -> None:
    place, released, again = await apart.place(), asyncio.Event(), asyncio.Event()
    await apart.active(place)

    async def port(n: int, call: faults.Call) -> Any:
        if n > 1:
            again.set()
            await released.wait()
        return await faults.breaks_before(1)(n, call)

    async def volume(n: int, call: faults.Call) -> Any:
        if n > 1:
            await again.wait()
        return await faults.breaks_before(1)(n, call)

    apart.faults.add(place.workflow_id, "DeleteServer", "networks.deallocate", port)
    apart.faults.add(place.workflow_id, "DeleteServer", "volumes.detach", volume)
    await apart.delete(place)
    told = (place.workflow_id, "DeleteServer", "records.set_stuck")
    # That each is stuck, and that one of them is so no more.
    await until(lambda: apart.faults.ran.count(told) == 3, 30, lambda: "the volume was never given back")
    await until(lambda: not apart.faults.running[place.workflow_id] > 1, 30, lambda: "it is still being told")
    assert "networks.deallocate" in str(getattr(apart.server(place), "stuck_undo", None))
    shown = await apart.handle(place.workflow_id).describe()
    assert shown.typed_search_attributes[attributes.STUCK] == "networks.deallocate"
    released.set()
    await apart.settled(place)
    shown = await apart.handle(place.workflow_id).describe()
    assert attributes.STUCK not in shown.typed_search_attributes
    assert apart.db.read_now(problems.find).stuck == ()
    await apart.replay(place.workflow_id)
    apart.faults.forget(place.workflow_id)


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


async def test_what_a_comparison_can_not_put_right_is_seen_until_one_finds_it_no_more(apart: World) -> None:
    place, host = await apart.place(), drifting.HOST
    await apart.active(place)
    # Somebody took the volume out of the guest, past everything that keeps account of it.
    apart.hosts[host].driver.detach_disk(place.server_id, place.volume_id[:20], timeout_seconds=1)
    gauge = f'kilonova_drift{{host="{host}",kind="missing_volume"}}'
    assert (await reconcile(apart, place)).json()["reported"]
    assert (await _metrics(apart))[gauge] == "1"
    lines = [line for line in operators.lasting(apart.db.read_now(problems.find)) if line.startswith("drift")]
    assert [(f"host {host}" in line, place.volume_id in line) for line in lines] == [(True, True)]
    await apart.delete(place)
    await apart.settled(place)
    await reconcile(apart, place)
    assert gauge not in await _metrics(apart)
