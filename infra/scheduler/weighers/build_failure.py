from typing import Any

from numpy.typing import NDArray

from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Rows
from infra.settings import SchedulerSettings


class BuildFailureWeigher:
    """Hosts where builds failed since the last success are taken last."""

    multiplier = "build_failure_weight_multiplier"
    sign = -1.0

    def weigh(
        self, table: HostTable, request: PlacementRequest, options: SchedulerSettings, rows: Rows
    ) -> NDArray[Any] | None:
        return table.build_failures[rows]
