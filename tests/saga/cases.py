"""Every workflow, at every step, in every mode: what is done to its run there, and what the world must be after it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from activities.base import info
from tests.saga import faults
from tests.saga.every import SCENARIOS
from tests.saga.faults import Call
from tests.saga.scenarios import Scenario
from tests.saga.snapshot import snapshot
from tests.saga.world import Place, World, until
from workers import registry
from workers.running import steps

SUCCEEDS = ("fails before", "fails after", "twice", "twice at once")
FAILS = ("breaks before", "breaks after", "lands late")
STOPS = ("cancel", "cancel hangs", "delete", "delete hangs")
KILLS = ("killed", "control worker killed")
"""Not on a server, where a kill takes all runs with it: see ``test_killed_workers``."""
REFUSALS = ("host refuses", "host refuses after")
IN_UNDO = ("undo cancelled", "undo deleted", "undo killed")
UNDOS = {
    info(undo).name
    for owner in {*registry.CONTROL_ACTIVITIES, *registry.SCHEDULE_ACTIVITIES, *registry.HOST_ACTIVITIES}
    for step in steps(owner)
    if (undo := info(step).undo) is not None
}


@dataclass(frozen=True)
class Case:
    scenario: Scenario
    step: str
    mode: str

    def __str__(self) -> str:
        return f"{self.scenario.name}-{self.step}-{self.mode}".replace(" ", "_")


SHOWN = ("fails after", "lands late", "killed")
"""Of a step that an earlier scenario of the same workflow takes in every mode."""


def modes(scenario: Scenario, step: str) -> tuple[str, ...]:
    earlier = SCENARIOS[: SCENARIOS.index(scenario)]
    if any(other.workflow == scenario.workflow and step in other.steps for other in earlier):
        return SHOWN
    found: tuple[str, ...] = (*SUCCEEDS, *FAILS, *KILLS)
    stops = STOPS if scenario.deletable else STOPS[:2]
    # A local activity holds its workflow task, so that nothing can tell it to stop; nor is told what its run shields.
    told = not scenario.shielded and step not in scenario.local | scenario.forward_only | scenario.bare
    found += tuple(mode for mode in stops if told or "hangs" not in mode)
    # What fails before there is anything to undo, or can't fail, has no undo that could be disturbed.
    if scenario.undoes and step not in scenario.admission | scenario.forward_only | scenario.bare:
        found += tuple(m for m in IN_UNDO if m != "undo deleted" or step in scenario.hosted)
    return found + (REFUSALS if step in scenario.hosted else ())


CASES = {
    str(case): case
    for scenario in SCENARIOS
    for step in scenario.steps
    for mode in modes(scenario, step)
    if (case := Case(scenario, step, mode))
}


class Running:
    """One case: sets its fault up, lets the request come, and compares."""

    def __init__(self, world: World, case: Case) -> None:
        self.world = world
        self.case = case
        self.tasks: list[asyncio.Task[Any]] = []
        self.kept: list[Call] = []

    async def run(self) -> None:
        world, case = self.world, self.case
        scenario = case.scenario
        place = await world.place()
        await scenario.prepare(world, place)
        before = await snapshot(world, place)
        workflow_id = scenario.workflow_id(place)
        rule = world.faults.add(workflow_id, scenario.workflow, case.step, self.act(place))
        undos = []
        if case.mode == "breaks after" or case.mode in IN_UNDO:
            undos = [
                world.faults.add(workflow_id, scenario.workflow, undo, self.act_in_undo(place))
                for undo in UNDOS - {case.step}
            ]
        reply = await scenario.begin(world, place)
        await until(lambda: rule.calls > 0 or reply.status_code >= 400, 60, lambda: "the step was never run")
        await world.settled(place)
        await asyncio.gather(*self.tasks)
        await world.settled(place)
        assert case.mode not in IN_UNDO or any(undo.calls for undo in undos), "nothing was undone"
        for call in self.kept:
            await asyncio.gather(call(), return_exceptions=True)
        await world.replay(workflow_id)
        world.faults.forget(workflow_id)
        await self.check(place, before, reply.status_code)

    async def check(self, place: Place, before: dict[str, Any], status: int) -> None:
        case, scenario = self.case, self.case.scenario
        fails = case.mode in (*FAILS, "undo cancelled", "undo killed")
        refused = fails and case.step in scenario.admission
        stopped = case.mode.startswith(("cancel", "delete"))
        unknown = (stopped and case.step in scenario.admission) or (fails and case.step in scenario.forward_only)
        assert unknown or (status >= 400) == refused, status
        assert not stopped or status < 500 or case.mode.startswith("cancel"), status
        if case.mode.startswith("delete") or case.mode == "undo deleted":
            await scenario.gone(self.world, place, await self.without_server(before))
        elif case.mode in (*SUCCEEDS, *KILLS, *REFUSALS) or (fails and case.step in scenario.forward_only):
            await scenario.done(self.world, place, before)
        elif status >= 400 and not self.is_there(place):
            assert await snapshot(self.world, place) == before
        elif fails:
            await scenario.undone(self.world, place, before)
        else:
            await self.either(place, before)

    def is_there(self, place: Place) -> bool:
        server = self.world.server(place)
        return server is not None and server.vm_state != "deleted"

    async def either(self, place: Place, before: dict[str, Any]) -> None:
        """Where a cancel comes as a step ends, the run may have gone on: it is one or the other, never between."""
        try:
            await self.case.scenario.done(self.world, place, before)
        except AssertionError as not_done:
            try:
                await self.case.scenario.undone(self.world, place, before)
            except AssertionError as not_undone:
                raise AssertionError(f"neither done: {not_done}\nnor undone: {not_undone}") from not_undone

    async def without_server(self, before: dict[str, Any]) -> dict[str, Any]:
        return await snapshot(self.world, await self.world.place()) | {
            "volumes": [(volume, "available") for volume, _ in before["volumes"]],
            "volume data": before["volume data"],
        }

    def stop(self, place: Place) -> Callable[[], Awaitable[None]]:
        """What the mode stops the run with."""

        async def cancel() -> None:
            await self.world.handle(self.case.scenario.workflow_id(place)).cancel()

        async def delete() -> None:
            """As soon as there is a server; a delete may find that another has just been carried out."""

            async def accepted() -> bool:
                there = self.is_there(place)
                code = (await self.world.delete(place, status=None)).status_code
                return code == 204 or (code == 404 and there)

            await until(accepted, 30, lambda: "the delete was never accepted")

        return cancel if "cancel" in self.case.mode else delete

    def lose(self, place: Place) -> Callable[[], None]:
        engine = self.world.engine
        assert engine is not None, "a server's worker can't die for one run"
        return partial(engine.lose, self.case.scenario.workflow_id(place))

    def act_in_undo(self, place: Place) -> faults.Act:
        """In each undo: it fails twice, or the run is stopped while it is carried out, or lost with its workers."""
        if self.case.mode == "breaks after":
            return faults.fails_before(2)
        if self.case.mode == "undo killed":
            return faults.killed(self.lose(place))
        return faults.fails_meanwhile(self.stop(place))

    def act(self, place: Place) -> faults.Act:
        stop = self.stop(place)
        match self.case.mode:
            case "fails before":
                return faults.fails_before()
            case "fails after":
                return faults.fails_after()
            case "twice":
                return faults.twice()
            case "twice at once":
                return faults.twice_at_once()
            case "breaks before" | "undo cancelled" | "undo deleted" | "undo killed":
                return faults.breaks_before(self.times())
            case "breaks after":
                return faults.breaks_after(self.times())
            case "lands late":
                return faults.late(self.kept, self.times())
            case "killed":
                return faults.killed(self.lose(place))
            case "control worker killed":
                return faults.forgotten(self.lose(place))
            case "host refuses":
                return faults.refuses()
            case "host refuses after":
                return faults.refuses_after()
            case "cancel" | "delete":
                return faults.meanwhile(stop, self.tasks)
            case "cancel hangs" | "delete hangs":
                return faults.until_told(stop, self.tasks)
        raise AssertionError(self.case.mode)

    def times(self) -> int | None:
        """What only goes forward is tried again and again, also where the engine would not: the third try works."""
        return 2 if self.case.step in self.case.scenario.forward_only else None
