"""Why a host was chosen, or why none was, from what ``select`` found."""

import numpy as np
from numpy.typing import NDArray

from infra.domain.inventory import CLASSES
from infra.domain.placement import Explanation, FilterOutcome, PlacementRequest, Score, Shortage
from infra.scheduler.filters.capacity import largest
from infra.scheduler.select import Selection
from infra.scheduler.table import HostTable, Mask

_NAMES = 10
_SCORES = 5


def explain(
    table: HostTable,
    request: PlacementRequest,
    selection: Selection,
    *,
    chosen: str | None = None,
    lost_races: int = 0,
) -> Explanation:
    """Tell a selection made from this very table, with at most ten names a filter and the five best scores."""
    return Explanation(
        evaluated=selection.evaluated,
        filters=tuple(_outcome(table, selection, index) for index in range(len(selection.removed))),
        shortages=_shortages(table, request, selection),
        remaining=len(selection.rows),
        best=_scores(table, selection),
        chosen=chosen,
        seed=request.seed or request.server_id,
        lost_races=lost_races,
    )


def _outcome(table: HostTable, selection: Selection, index: int) -> FilterOutcome:
    name, removed = selection.removed[index]
    rows = np.flatnonzero(selection.removed_by == index)[:_NAMES] if removed else ()
    return FilterOutcome(name=name, removed=removed, hosts=tuple(sorted(table.names[row] for row in rows)))


def _shortages(table: HostTable, request: PlacementRequest, selection: Selection) -> tuple[Shortage, ...]:
    """What the hosts lack that fell for want of room or of devices: one host may be short of several things."""
    found = []
    small = _fallen(selection, "CapacityFilter")
    if small.any():
        for resource, column in CLASSES.items():
            found += _short(resource, largest(table, column)[small], getattr(request.resources, column))
    bare = _fallen(selection, "PciPassthroughFilter")
    if bare.any():
        for wish in selection.devices:
            found += _short(f"PCI device {wish.alias}", table.free_devices(wish)[bare], wish.count)
    return tuple(found)


def _fallen(selection: Selection, filter: str) -> Mask:
    """The hosts that this filter removed."""
    names = [name for name, _ in selection.removed]
    found: Mask = selection.removed_by == (names.index(filter) if filter in names else len(names))
    return found


def _short(resource: str, free: NDArray[np.int64], asked: int) -> list[Shortage]:
    short = free < asked
    if not asked or not short.any():
        return []
    return [Shortage(resource=resource, asked=asked, hosts=int(short.sum()), best=max(0, int(free[short].max())))]


def _scores(table: HostTable, selection: Selection) -> tuple[Score, ...]:
    found = []
    for name in selection.ranked[:_SCORES]:
        place = int(np.searchsorted(selection.rows, table.rows[name]))
        parts = {weigher: round(float(share[place]), 6) for weigher, share in selection.shares}
        found.append(Score(host=name, weight=round(float(selection.weights[place]), 6), parts=parts))
    return tuple(found)
