"""Turns at what can only be done a few at a time: fair between projects, in order within each.

A project that asks for a thousand servers waits for itself; the next project's first request waits for one turn. What
makes room goes before what takes it: deletes before boots.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infra.domain.errors import Unavailable

_Queues = dict[str, deque[asyncio.Future[None]]]
"""By project; the first project is the next to be let in."""


class Turns:
    """
    Args:
        at_once: how many turns may be taken at the same time.
        patience: seconds that a request may wait for its turn: its client waits no longer either.
    """

    def __init__(self, at_once: int, patience: float = 60.0) -> None:
        self._free = at_once
        self._patience = patience
        self._waiting: _Queues = {}
        self._ahead: _Queues = {}

    def waiting(self, project_id: str | None = None) -> int:
        """How many wait for a turn and go before nobody: of one project, or of all."""
        if project_id is not None:
            return len(self._waiting.get(project_id, ()))
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def of(self, project_id: str, *, ahead: bool = False) -> AsyncIterator[None]:
        """Wait for a turn of this project, and hold it.

        Args:
            ahead: before all that wait without it.

        Raises:
            Unavailable: it did not come in time.
        """
        try:
            async with asyncio.timeout(self._patience):
                await self._take(project_id, self._ahead if ahead else self._waiting)
        except TimeoutError:
            raise Unavailable("Too many requests are waiting; send the request again.") from None
        try:
            yield
        finally:
            self._pass_on()

    async def _take(self, project_id: str, queues: _Queues) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        queues.setdefault(project_id, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            # The caller went away as its turn came.
            if not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while queues := self._ahead or self._waiting:
            project_id = next(iter(queues))
            queue = queues.pop(project_id)
            turn = queue.popleft()
            if queue:
                queues[project_id] = queue
            if not turn.cancelled():
                turn.set_result(None)
                return
        self._free += 1
