from infra.domain.placement import PlacementRequest
from infra.scheduler.specs import values
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class AggregateTypeAffinityFilter:
    """An aggregate with ``instance_type`` takes only flavors whose names it lists, separated by commas."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        # Values of several aggregates of one host are one set, as Nova has it.
        restricted = table.in_aggregates(lambda aggregate: "instance_type" in aggregate.metadata)
        name = request.flavor.name
        listed = table.in_aggregates(lambda aggregate: name in values(aggregate.metadata.get("instance_type")))
        return ~restricted | listed
