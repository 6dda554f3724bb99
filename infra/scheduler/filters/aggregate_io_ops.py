from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class AggregateIoOpsFilter:
    """As IoOpsFilter, where aggregates can set ``max_io_ops_per_host`` (the least counts)."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        found: Mask = table.io_ops < table.aggregate_minimum("max_io_ops_per_host", options.max_io_ops_per_host)
        return found
