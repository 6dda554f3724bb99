from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class NumInstancesFilter:
    """Passes hosts with fewer than ``max_instances_per_host`` servers."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        found: Mask = table.servers < options.max_instances_per_host
        return found
