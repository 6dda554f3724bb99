from typing import Any

from numpy.typing import NDArray

from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Rows
from infra.settings import SchedulerSettings


class ServerGroupSoftAffinityWeigher:
    """Group policy ``soft-affinity``: more members on the host are better."""

    multiplier = "soft_affinity_weight_multiplier"
    sign = 1.0

    def weigh(
        self, table: HostTable, request: PlacementRequest, options: SchedulerSettings, rows: Rows
    ) -> NDArray[Any] | None:
        group = request.group
        if group is None or group.policy != "soft-affinity":
            return None
        return table.counts(group.hosts)[rows]
