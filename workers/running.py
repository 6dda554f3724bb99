"""What every worker process does: which steps its classes hold, and running until it is told to stop."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio.worker import Worker

from activities.base import StepInfo

GRACE = timedelta(seconds=30)
"""What running activities get to end when the worker is told to stop."""


class CannotStart(Exception):
    """One sentence for the operator: what is missing and what to do."""


def steps(owner: Any) -> list[Callable[..., Any]]:
    """The activities of an instance (bound) or of a class, in the order they are declared."""
    kind = owner if isinstance(owner, type) else type(owner)
    return [
        getattr(owner, name)
        for name, value in vars(kind).items()
        if isinstance(getattr(value, "__step__", None), StepInfo)
    ]


async def until_stopped(workers: list[Worker], *others: asyncio.Task[None]) -> None:
    """Run workers until SIGTERM or SIGINT; a worker or another task that fails ends them all."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = [asyncio.create_task(worker.run()) for worker in workers]
    waiting = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([*running, *others, waiting], return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*(worker.shutdown() for worker in workers))
    for task in (*others, waiting):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    for task in (*running, *done):
        if task is not waiting:
            task.result()
