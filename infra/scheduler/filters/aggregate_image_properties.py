from functools import partial

from infra.domain.host import Aggregate
from infra.domain.placement import PlacementRequest
from infra.scheduler.specs import values
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class AggregateImagePropertiesIsolation:
    """An image property that the host's aggregates have as metadata must be one of their values."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        mask: Mask | None = None
        namespace = options.aggregate_image_properties_isolation_namespace
        prefix = "" if namespace is None else f"{namespace}{options.aggregate_image_properties_isolation_separator}"
        for name, wanted in request.image_properties.items():
            if not name.startswith(prefix) or wanted in (None, ""):
                continue
            restricted = table.in_aggregates(partial(_has, name))
            allowed = ~restricted | table.in_aggregates(partial(_lists, name, str(wanted)))
            mask = allowed if mask is None else mask & allowed
        return mask


def _has(key: str, aggregate: Aggregate) -> bool:
    return key in aggregate.metadata


def _lists(key: str, value: str, aggregate: Aggregate) -> bool:
    return value in values(aggregate.metadata.get(key))
