"""What the control plane asks of a host beside its servers' steps: the clean-up that the host also does by itself."""

from activities.base import step
from activities.models import Attempt
from infra.compute.upkeep import Upkeep
from infra.temporal.history import History


class PayDebt(History):
    attempt: Attempt


class TidyHost(History):
    host: str


class SeenGuest(History):
    server_id: str
    attempt: int
    serials: tuple[str, ...] = ()


class TidiedHost(History):
    done: tuple[str, ...] = ()
    guests: tuple[SeenGuest, ...] = ()


class SyncNetwork(History):
    host: str


class SyncedNetwork(History):
    change: int
    """The latest change of the host's networking that is in it."""


class UpkeepActivities:
    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep

    @step("upkeep.pay", because="what is not paid stays owed")
    async def pay(self, params: PayDebt) -> None:
        """Remove all that an attempt left here, and settle it with the control plane."""
        await self._upkeep.pay_one(params.attempt.server_id, params.attempt.number)

    @step("upkeep.tidy", because="what it removes should not be there")
    async def tidy(self, params: TidyHost) -> TidiedHost:
        """Pay all debts, remove and mend what is not as it should be, and say which guests there are."""
        tidied = await self._upkeep.tidy()
        return TidiedHost(done=tidied.done, guests=tuple(SeenGuest(**guest.model_dump()) for guest in tidied.guests))

    @step("networks.sync", because="it makes the host what the Network Service says, again and again")
    async def sync_network(self, params: SyncNetwork) -> SyncedNetwork:
        """Read what the host's networking should be, and converge to it."""
        return SyncedNetwork(change=await self._upkeep.sync())
