"""Claims that come while others are being written go into the next transaction, all together."""

import asyncio

from infra.db import claims_together
from infra.db.claims import Granted
from infra.db.claims_together import Asked
from infra.db.engine import Database

_Waiting = tuple[Asked, "asyncio.Future[Granted | None]"]
_MOST = 32
"""Claims of one transaction: its locks are held for as long as all of them take."""


class JointClaims:
    """One for each process and event loop, on PostgreSQL. One transaction at a time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def claim(self, asked: Asked) -> Granted | None:
        """What was got; None: nothing was done, ``claims.claim`` may say why."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        granted: Granted | None = await answer
        return granted

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._write_some(self._next())
        finally:
            self._writing = None

    async def _write_some(self, together: list[_Waiting]) -> None:
        granted: list[Granted | None]
        try:
            granted = await self._db.write(claims_together.claim, [asked for asked, _ in together])
        except Exception:
            # Each is tried by itself, and told what is wrong: what one of them asked is not for the others to pay.
            granted = [None] * len(together)
        for (_, answer), got in zip(together, granted, strict=True):
            # Done where the caller was cancelled meanwhile: its claim is there, as after a lost reply.
            if not answer.done():
                answer.set_result(got)

    def _next(self) -> list[_Waiting]:
        """Those that wait, in their order: one for each host, and one for each server."""
        taken: set[str] = set()
        together: list[_Waiting] = []
        others: list[_Waiting] = []
        for each in self._waiting:
            claim = each[0].claim
            if len(together) < _MOST and taken.isdisjoint((claim.host, claim.server_id)):
                taken.update((claim.host, claim.server_id))
                together.append(each)
            else:
                others.append(each)
        self._waiting = others
        return together
