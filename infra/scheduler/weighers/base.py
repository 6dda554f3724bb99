"""What a weigher is: one number for each host that passed the filters; more is better."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from infra.domain.placement import PlacementRequest
from infra.scheduler.table import Floats, HostTable, Rows
from infra.settings import SchedulerSettings


class Weigher(Protocol):
    """Named after its class, as in Nova. Pure."""

    multiplier: str
    """The option, and the key of aggregates' metadata, that the normalised weight is multiplied by."""
    sign: float

    def weigh(
        self, table: HostTable, request: PlacementRequest, options: SchedulerSettings, rows: Rows
    ) -> NDArray[Any] | None:
        """Weights of ``rows``, in any unit; None if they have none for this request."""
        ...


def name_of(weigher: Weigher) -> str:
    return type(weigher).__name__


def share(
    weigher: Weigher, table: HostTable, request: PlacementRequest, options: SchedulerSettings, rows: Rows
) -> Floats | None:
    """What a weigher adds to each host's weight: 0..1 from the worst to the best of ``rows``, times its multiplier.

    Where all are equal the share is 0, as it changes nothing.
    """
    default = getattr(options, weigher.multiplier)
    own = any(weigher.multiplier in aggregate.metadata for aggregate in table.aggregates)
    if default == 0 and not own:
        return None
    weights = weigher.weigh(table, request, options, rows)
    if weights is None or not len(weights):
        return None
    low, high = weights.min(), weights.max()
    if low == high:
        return None
    multipliers = table.aggregate_minimum(weigher.multiplier, default)[rows] if own else default
    found: Floats = np.multiply(weights - low, weigher.sign * multipliers / float(high - low))
    return found
