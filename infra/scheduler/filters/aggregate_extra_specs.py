from functools import partial

from infra.domain.host import Aggregate
from infra.domain.placement import PlacementRequest
from infra.scheduler.specs import Spec, values
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class AggregateInstanceExtraSpecsFilter:
    """Each ``aggregate_instance_extra_specs:`` or unscoped extra spec must match metadata of the host's aggregates."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        mask: Mask | None = None
        for key, text in request.flavor.extra_specs.items():
            scope, colon, rest = key.partition(":")
            if colon and scope != "aggregate_instance_extra_specs":
                continue
            having = table.in_aggregates(partial(_matches, rest if colon else key, Spec.parse(text)))
            mask = having if mask is None else mask & having
        return mask


def _matches(key: str, spec: Spec, aggregate: Aggregate) -> bool:
    return any(spec.matches(value) for value in values(aggregate.metadata.get(key)))
