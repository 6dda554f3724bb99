"""Every workflow, at every step, in every mode: the run ends as it should and leaves nothing behind.

The cases that were selected run at the same time, a few at once, each in a project of its own; each test waits for
its case.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from activities.base import info
from tests.saga import faults
from tests.saga.every import SCENARIOS
from tests.saga.faults import Call
from tests.saga.scenarios import Scenario
from tests.saga.snapshot import snapshot
from tests.saga.world import Place, World, until
from workers import registry
from workers.running import steps

AT_ONCE = 8
SUCCEEDS = ("fails before", "fails after", "twice", "twice at once")
FAILS = ("breaks before", "breaks after", "lands late")
STOPS = ("cancel", "cancel hangs", "delete", "delete hangs")
SHIELDED = ("fails after", "twice at once", "breaks before", "lands late", "cancel")
"""Where nothing stops the run: each takes in another that is left out."""
REFUSALS = ("host refuses", "host refuses after")
IN_UNDO = ("undo cancelled", "undo deleted")
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


def modes(scenario: Scenario, step: str) -> tuple[str, ...]:
    if step in scenario.brief:
        return ("fails after", "lands late")
    if scenario.shielded:
        return SHIELDED + (("delete",) if scenario.deletable else ())
    found: tuple[str, ...] = (*SUCCEEDS, *FAILS)
    stops = STOPS if scenario.deletable else STOPS[:2]
    # A local activity holds its workflow task, so that nothing can tell it to stop.
    found += tuple(m for m in stops if "hangs" not in m or step not in scenario.local)
    # What fails before there is anything to undo, or can't fail, has no undo that could be disturbed.
    if scenario.undoes and step not in scenario.admission | scenario.forward_only:
        found += IN_UNDO if step in scenario.hosted else IN_UNDO[:1]
    return found + (REFUSALS if step in scenario.hosted else ())


CASES = [
    Case(scenario, step, mode) for scenario in SCENARIOS for step in scenario.steps for mode in modes(scenario, step)
]


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
        fails = case.mode in (*FAILS, "undo cancelled")
        refused = fails and case.step in scenario.admission
        unknown = case.mode.startswith("cancel") or (fails and case.step in scenario.forward_only)
        assert unknown or (status >= 400) == refused, status
        if case.mode.startswith("delete") or case.mode == "undo deleted":
            await scenario.gone(self.world, place, await self.without_server(before))
        elif case.mode in (*SUCCEEDS, *REFUSALS) or (fails and case.step in scenario.forward_only):
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

    def act_in_undo(self, place: Place) -> faults.Act:
        """In each undo: it fails twice, or the run is stopped while it is carried out."""
        if self.case.mode == "breaks after":
            return faults.fails_before(2)
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
            case "breaks before" | "undo cancelled" | "undo deleted":
                return faults.breaks_before(self.times())
            case "breaks after":
                return faults.breaks_after(self.times())
            case "lands late":
                return faults.late(self.kept, self.times())
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


@pytest.fixture(scope="session")
async def outcomes(
    request: pytest.FixtureRequest, cloud: World, apart: World
) -> AsyncIterator[dict[Case, asyncio.Task[None]]]:
    selected = [item.callspec.params["case"] for item in request.session.items if "case" in _params(item)]
    room, alone = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(1)

    async def one(case: Case) -> None:
        async with alone if case.scenario.apart else room:
            await asyncio.wait_for(Running(apart if case.scenario.apart else cloud, case).run(), 240)

    started = {case: asyncio.create_task(one(case)) for case in selected if isinstance(case, Case)}
    yield started
    for task in started.values():
        task.cancel()
    await asyncio.gather(*started.values(), return_exceptions=True)


def _params(item: Any) -> dict[str, Any]:
    return getattr(getattr(item, "callspec", None), "params", {})


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_step(case: Case, outcomes: dict[Case, asyncio.Task[None]]) -> None:
    await outcomes[case]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_scenario_names_every_step(scenario: Scenario, cloud: World, apart: World) -> None:
    """A step that a workflow gets later must be among the cases, and each run takes as many."""
    world = apart if scenario.apart else cloud

    async def run() -> Counter[str]:
        place = await world.place()
        await scenario.prepare(world, place)
        before, since = await snapshot(world, place), len(world.faults.ran)
        await scenario.begin(world, place)
        await world.settled(place)
        key = (scenario.workflow_id(place), scenario.workflow)
        taken = Counter(step for id, kind, step in world.faults.ran[since:] if (id, kind) == key)
        taken |= Counter(dict.fromkeys(scenario.waits & taken.keys(), 1000))
        await scenario.done(world, place, before)
        return taken

    if scenario.apart:
        first, second = await run(), await run()
    else:
        first, second = await asyncio.gather(run(), run())
    assert set(first) == set(scenario.steps)
    assert first == second
