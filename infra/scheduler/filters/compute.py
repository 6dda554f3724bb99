from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class ComputeFilter:
    """Passes hosts that are up, ready, enabled and not forced down."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        alive: Mask = table.reported_at >= table.as_of - options.host_down_seconds
        return table.usable & alive
