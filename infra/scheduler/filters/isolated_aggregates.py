from infra.domain.host import Aggregate
from infra.domain.placement import PlacementRequest
from infra.scheduler.filters.traits import required_traits
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class IsolatedAggregatesFilter:
    """Aggregates with ``trait:<NAME>=required`` take only servers that require all these traits, if set so."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        if not options.enable_isolated_aggregate_filtering:
            return None
        required = required_traits(request)
        return ~table.in_aggregates(lambda aggregate: not _asked(aggregate) <= required)


def _asked(aggregate: Aggregate) -> frozenset[str]:
    traits = (key for key, value in aggregate.metadata.items() if value == "required" and key.startswith("trait:"))
    return frozenset(trait.removeprefix("trait:") for trait in traits)
