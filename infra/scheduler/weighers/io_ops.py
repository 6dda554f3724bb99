from typing import Any

from numpy.typing import NDArray

from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Rows
from infra.settings import SchedulerSettings


class IoOpsWeigher:
    """Fewer servers being built, copied or moved are better (the multiplier is negative)."""

    multiplier = "io_ops_weight_multiplier"
    sign = 1.0

    def weigh(
        self, table: HostTable, request: PlacementRequest, options: SchedulerSettings, rows: Rows
    ) -> NDArray[Any] | None:
        return table.io_ops[rows]
