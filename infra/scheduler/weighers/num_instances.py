from typing import Any

from numpy.typing import NDArray

from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Rows
from infra.settings import SchedulerSettings


class NumInstancesWeigher:
    """More servers are better (packing), or fewer with a negative multiplier; off by default."""

    multiplier = "num_instances_weight_multiplier"
    sign = 1.0

    def weigh(
        self, table: HostTable, request: PlacementRequest, options: SchedulerSettings, rows: Rows
    ) -> NDArray[Any] | None:
        return table.servers[rows]
