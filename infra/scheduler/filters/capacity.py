import numpy as np
from numpy.typing import NDArray

from infra.domain.inventory import CLASSES
from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class CapacityFilter:
    """Passes hosts with room for the flavor, as Placement would allocate it; the claim checks again."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        mask = np.ones(len(table), np.bool_)
        for column in CLASSES.values():
            asked = getattr(request.resources, column)
            # What is not asked for a host may even be short of, as after its inventory shrank.
            if asked:
                mask &= largest(table, column) >= asked
        return mask


def largest(table: HostTable, column: str) -> NDArray[np.int64]:
    """The most of a resource that each host could give one server now; below 0 where it is overcommitted."""
    free = getattr(table, f"{column}_capacity") - getattr(table, f"{column}_claimed")
    found: NDArray[np.int64] = np.minimum(free, getattr(table, f"{column}_largest"))
    return found
