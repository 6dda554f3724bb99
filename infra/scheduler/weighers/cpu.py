from typing import Any

from numpy.typing import NDArray

from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Rows
from infra.settings import SchedulerSettings


class CPUWeigher:
    """More free VCPUs, counted with overcommitment, are better."""

    multiplier = "cpu_weight_multiplier"
    sign = 1.0

    def weigh(
        self, table: HostTable, request: PlacementRequest, options: SchedulerSettings, rows: Rows
    ) -> NDArray[Any] | None:
        return (table.vcpus_capacity - table.vcpus_claimed)[rows]
