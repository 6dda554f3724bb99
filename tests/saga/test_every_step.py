"""Every workflow, at every step, in every mode: the run ends as it should and leaves nothing behind.

On an engine in the place of Temporal all of them, in processes of their own (``proving``), one for each processor; on a
server one mode of every step, and all modes in turn, so that the two are held to the same.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from itertools import cycle
from typing import Any

import pytest

from tests.saga import proving
from tests.saga.cases import CASES, KILLS, Case, Running
from tests.saga.every import SCENARIOS
from tests.saga.scenarios import Scenario
from tests.saga.snapshot import snapshot
from tests.saga.world import World

AT_ONCE = 8
"""On a server."""


def _in_turn() -> list[Case]:
    """One mode of each step, the next of those that it has."""
    of_steps: dict[tuple[str, str], list[Case]] = {}
    for case in CASES.values():
        if case.mode not in KILLS and case.mode != "undo killed":
            of_steps.setdefault((case.scenario.name, case.step), []).append(case)
    turn = cycle(range(12))
    return [cases[next(turn) % len(cases)] for cases in of_steps.values()]


def _selected(session: pytest.Session, function: str) -> list[Case]:
    return [
        item.callspec.params["case"]
        for item in session.items
        if isinstance(item, pytest.Function) and item.originalname == function
    ]


@pytest.fixture(scope="session")
async def proofs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    names = [str(case) for case in _selected(request.session, "test_step")]
    async with proving.proofs(names, tmp_path_factory.mktemp("proofs")) as outcomes:
        yield outcomes


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES.values(), ids=str)
async def test_step(case: Case, proofs: dict[str, asyncio.Future[str]]) -> None:
    failed = await proofs[str(case)]
    assert not failed, failed


@pytest.fixture(scope="session")
async def outcomes(
    request: pytest.FixtureRequest, cloud: World, apart: World
) -> AsyncIterator[dict[Case, asyncio.Task[None]]]:
    room, alone = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(1)

    async def one(case: Case) -> None:
        async with alone if case.scenario.apart else room:
            await asyncio.wait_for(Running(apart if case.scenario.apart else cloud, case).run(), 240)

    started = {case: asyncio.create_task(one(case)) for case in _selected(request.session, "test_step_on_a_server")}
    yield started
    for task in started.values():
        task.cancel()
    await asyncio.gather(*started.values(), return_exceptions=True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", _in_turn(), ids=str)
async def test_step_on_a_server(case: Case, outcomes: dict[Case, asyncio.Task[None]]) -> None:
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
