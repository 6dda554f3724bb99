"""Proofs in processes of their own: each has its world, on an engine in the place of Temporal.

``python -m tests.saga.proving boot-images.fetch-twice ...`` runs the cases that are named and prints a line of JSON for
each: its name, and what it failed with.
"""

import asyncio
import gc
import json
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import uvloop

from tests.engine.engine import Engine
from tests.saga import drifting
from tests.saga.cases import CASES, Case, Running
from tests.saga.quick import quick_policies
from tests.saga.world import World, world

AT_ONCE = 12
SECONDS = 120
"""For one case, on a machine that does more than it can."""


async def prove(names: Sequence[str]) -> AsyncIterator[tuple[str, str]]:
    """Yields (name, failure) as the cases end; the failure is empty where there is none."""
    async with AsyncExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        cloud = await stack.enter_async_context(world(folders[0], Engine("cloud"), ("h1", "h2", "h3")))
        apart = await stack.enter_async_context(world(folders[1], Engine("apart"), (drifting.HOST,)))
        room, alone = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(1)
        # What the worlds are made of stays, and most of the rest goes without being looked for.
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)

        async def one(case: Case) -> tuple[str, str]:
            async with alone if case.scenario.apart else room:
                return str(case), await _outcome(apart if case.scenario.apart else cloud, case)

        for ended in asyncio.as_completed([asyncio.create_task(one(CASES[name])) for name in names]):
            yield await ended


async def _outcome(in_world: World, case: Case) -> str:
    try:
        await asyncio.wait_for(Running(in_world, case).run(), SECONDS)
    except Exception:
        return traceback.format_exc()
    return ""


@asynccontextmanager
async def proofs(names: Sequence[str], folder: Path) -> AsyncIterator[dict[str, asyncio.Future[str]]]:
    """The outcomes of cases, which all begin now: in as many processes as there are processors."""
    loop = asyncio.get_running_loop()
    outcomes: dict[str, asyncio.Future[str]] = {name: loop.create_future() for name in names}
    count = min(os.cpu_count() or 1, len(names))
    tasks = [
        asyncio.create_task(_process(list(names)[n::count], folder, folder / f"log.{n}", outcomes))
        for n in range(count)
    ]
    try:
        yield outcomes
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _process(names: list[str], folder: Path, said: Path, outcomes: dict[str, asyncio.Future[str]]) -> None:
    with said.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.saga.proving", *names),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**os.environ, "TMPDIR": str(folder)},
            limit=2**24,
        )
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                name, failure = json.loads(line)
                outcomes[name].set_result(failure)
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    for name in names:
        if not outcomes[name].done():
            outcomes[name].set_result(
                f"The process of this proof ended with {process.returncode} before it:\n{_end_of(said)}"
            )


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]


async def _main(names: list[str]) -> None:
    with quick_policies():
        async for outcome in prove(names):
            print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    uvloop.run(_main(sys.argv[1:]))
