"""What the control plane asks of a host beside its servers' steps: the clean-up that the host also does by itself."""

from activities.base import step
from activities.models import Attempt
from infra.compute.upkeep import Upkeep
from infra.temporal.history import History


class PayDebt(History):
    attempt: Attempt


class UpkeepActivities:
    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep

    @step("upkeep.pay", because="what is not paid stays owed")
    async def pay(self, params: PayDebt) -> None:
        """Remove all that an attempt left here, and settle it with the control plane."""
        await self._upkeep.pay_one(params.attempt.server_id, params.attempt.number)
