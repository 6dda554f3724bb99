from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class RetryFilter:
    """Removes the hosts that refused an earlier attempt of the same server."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        return ~table.named(request.excluded_hosts) if request.excluded_hosts else None
