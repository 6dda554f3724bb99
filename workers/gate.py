"""The gate before the hosts: few servers are built at a time, and what waits, waits where projects take turns."""

import asyncio
import logging
import time

from temporalio.worker import (
    CustomSlotSupplier,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
)

from infra.db import boot_queue
from infra.db.engine import Database

_log = logging.getLogger(__name__)


class Gate(CustomSlotSupplier):
    """The slots of the worker that claims hosts: a claim is taken from its queue when few enough boots are on hosts.

    Temporal serves the queue by project, so that a boot which comes behind another project's hundreds is the next
    to be let in; a claim that was taken and had to wait here would be before it.
    """

    COUNTED_SECONDS = 3.0
    """A boot that takes longer waits for its host or an image, and keeps nobody from anything."""
    _UNSEEN_SECONDS = 1.0
    """Until a boot that was let in has written that it is on a host; it counts from the start."""
    _PAUSE_SECONDS = 0.02

    def __init__(self, db: Database, boots_in_flight: int) -> None:
        self._db = db
        self._limit = boots_in_flight
        self._slots = 0
        self._let_in: dict[str, float] = {}
        self._first = asyncio.Lock()

    def let_in(self, server_id: str) -> None:
        """The server has its host: it counts by itself, no longer by its slot."""
        self._let_in[server_id] = time.monotonic()

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        """Returns when one more may be let in."""
        async with self._first:
            # Of other workers' boots nobody tells this process.
            while await self._is_shut():  # noqa: ASYNC110
                await asyncio.sleep(self._PAUSE_SECONDS)
            self._slots += 1
        return SlotPermit()

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        """No claim comes but from its queue."""
        return None

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        """A slot counts from its reservation on: what it waits for may come at any time."""

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        self._slots -= 1

    async def _is_shut(self) -> bool:
        try:
            seen = await self._db.read(boot_queue.in_flight, self.COUNTED_SECONDS)
        except Exception as error:
            # The SDK would take an error for a slot that there never was. Claims could do nothing now either.
            _log.warning("Boots wait: the database does not say how many are on hosts: %s", error)
            await asyncio.sleep(1.0)
            return True
        oldest = time.monotonic() - self._UNSEEN_SECONDS
        self._let_in = {
            server_id: when
            for server_id, when in self._let_in.items()
            if when > oldest and server_id not in seen.servers
        }
        return len(seen.servers) + len(self._let_in) + self._slots >= max(self._limit, seen.hosts)
