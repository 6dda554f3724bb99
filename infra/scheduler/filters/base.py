"""What a filter is: a name and a mask of the hosts that pass."""

from typing import Protocol

from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class Filter(Protocol):
    """Named after its class, as in Nova's ``enabled_filters``. Pure."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        """Mask over all hosts of the table; None if the filter has nothing to say about this request."""
        ...


def name_of(filter: Filter) -> str:
    return type(filter).__name__
