"""What should be on a host, compared with what is: the rows' side of it."""

from datetime import datetime

from activities.base import step
from activities.upkeep import SeenGuest
from infra.db import drift
from infra.db.engine import Database
from infra.temporal.history import History


class SettleHost(History):
    host: str
    asked_at: datetime
    answered: bool = True
    silence: str = ""
    """Why it did not answer, one sentence."""
    guests: tuple[SeenGuest, ...] = ()


class SettledHost(History):
    mended: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()


class DriftActivities:
    def __init__(self, db: Database) -> None:
        self._db = db

    @step("drift.settle", because="it makes rows say what is so")
    async def settle(self, params: SettleHost) -> SettledHost:
        """Put right what the rows have wrong of a host, and say what can't be."""
        guests = {guest.server_id: drift.SeenGuest(**guest.model_dump()) for guest in params.guests}
        seen = guests if params.answered else None
        found = await self._db.write(drift.settle, params.host, seen, params.asked_at, params.silence)
        return SettledHost(mended=found.mended, reported=tuple(one.what for one in found.reported))
