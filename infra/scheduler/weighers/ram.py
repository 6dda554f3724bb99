from typing import Any

from numpy.typing import NDArray

from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Rows
from infra.settings import SchedulerSettings


class RAMWeigher:
    """More free memory is better."""

    multiplier = "ram_weight_multiplier"
    sign = 1.0

    def weigh(
        self, table: HostTable, request: PlacementRequest, options: SchedulerSettings, rows: Rows
    ) -> NDArray[Any] | None:
        return (table.memory_mb - table.memory_mb_reserved - table.memory_mb_claimed)[rows]
