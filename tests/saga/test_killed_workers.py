"""Workers that die at a step: others replay the history and go on, and everything is there once.

A kill takes every run with it that is open, so the runs of all steps are brought to theirs first and then killed
together, when its effect is there and nobody was told.

Of some workflows, on a server; of all, and at local activities too, in ``test_every_step`` on an engine that can lose a
single run. A worker in this process does not stop before its local activities end.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.saga import faults
from tests.saga.every import SCENARIOS
from tests.saga.scenarios import Scenario
from tests.saga.snapshot import snapshot
from tests.saga.world import Place, World, until, world

AT_ONCE = 6
SHOWN = ("boot", "delete", "image", "resize")


@dataclass(frozen=True)
class Case:
    scenario: Scenario
    step: str

    def __str__(self) -> str:
        return f"{self.scenario.name}-{self.step}"


CASES = [
    Case(scenario, step)
    for scenario in SCENARIOS
    for step in scenario.steps
    if scenario.name in SHOWN and step not in scenario.local
]


@dataclass
class Running:
    world: World
    case: Case
    place: Place
    before: dict[str, Any]
    barrier: faults.Barrier = field(init=False)
    reply: asyncio.Task[httpx.Response] = field(init=False)

    @property
    def workflow_id(self) -> str:
        return self.case.scenario.workflow_id(self.place)

    async def begin(self) -> None:
        """Up to its step, which then waits."""
        scenario = self.case.scenario
        self.barrier = faults.Barrier(after=True)
        self.world.faults.add(self.workflow_id, scenario.workflow, self.case.step, self.barrier.act)
        self.reply = asyncio.create_task(scenario.begin(self.world, self.place))
        await until(lambda: self.barrier.reached, 60, lambda: f"{self.case} was never reached")

    async def end(self) -> None:
        self.barrier.open.set()
        assert (await self.reply).status_code < 300
        await self.world.settled(self.place)
        await self.world.replay(self.workflow_id)
        self.world.faults.forget(self.workflow_id)
        await self.case.scenario.done(self.world, self.place, self.before)


@pytest.fixture(scope="module")
async def mortal(temporal: str, quick_policies: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world(tmp_path_factory.mktemp("kills"), (temporal, "kills"), ("h1", "h2", "h3")) as made:
        yield made


Outcomes = dict[Case, asyncio.Task[None]]


@pytest.fixture(scope="module")
async def outcomes(request: pytest.FixtureRequest, mortal: World) -> Outcomes:
    """All selected cases, from one kill on."""
    params = [getattr(getattr(item, "callspec", None), "params", {}) for item in request.session.items]
    selected = [case for each in params if isinstance(case := each.get("case"), Case)]
    room, found = asyncio.Semaphore(AT_ONCE), Outcomes()

    async def prepared(case: Case) -> Running:
        async with room:
            place = await mortal.place()
            await case.scenario.prepare(mortal, place)
            return Running(mortal, case, place, await snapshot(mortal, place))

    runs = await asyncio.gather(*(prepared(case) for case in selected))
    begun = await asyncio.gather(*(run.begin() for run in runs), return_exceptions=True)
    await mortal.restart()
    for run, failed in zip(runs, begun, strict=True):
        found[run.case] = asyncio.create_task(_end(run, failed, room))
    return found


async def _end(run: Running, failed: BaseException | None, room: asyncio.Semaphore) -> None:
    if failed is not None:
        raise failed
    run.barrier.open.set()
    async with room:
        await run.end()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_killed_at(case: Case, outcomes: Outcomes) -> None:
    await outcomes[case]
