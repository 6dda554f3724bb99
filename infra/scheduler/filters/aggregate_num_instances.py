from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class AggregateNumInstancesFilter:
    """As NumInstancesFilter, where aggregates can set ``max_instances_per_host`` (the least counts)."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        found: Mask = table.servers < table.aggregate_minimum("max_instances_per_host", options.max_instances_per_host)
        return found
