from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class IoOpsFilter:
    """Passes hosts with fewer than ``max_io_ops_per_host`` servers being built, copied or moved."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        found: Mask = table.io_ops < options.max_io_ops_per_host
        return found
