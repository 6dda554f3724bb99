"""Why a host was chosen, or why none was, from what ``select`` found."""

import numpy as np

from infra.domain.inventory import CLASSES
from infra.domain.placement import Explanation, FilterOutcome, PlacementRequest, Score, Shortage
from infra.scheduler.filters.capacity import largest
from infra.scheduler.select import Selection
from infra.scheduler.table import HostTable

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
    """What the hosts that fell at the capacity filter lack: one host may be short of several resources."""
    names = [name for name, removed in selection.removed if removed]
    if "CapacityFilter" not in names:
        return ()
    index = [name for name, _ in selection.removed].index("CapacityFilter")
    fallen = selection.removed_by == index
    found = []
    for resource, column in CLASSES.items():
        free, asked = largest(table, column)[fallen], getattr(request.resources, column)
        short = int(np.count_nonzero(free < asked)) if asked else 0
        if short:
            best = max(0, int(free[free < asked].max()))
            found.append(Shortage(resource=resource, asked=asked, hosts=short, best=best))
    return tuple(found)


def _scores(table: HostTable, selection: Selection) -> tuple[Score, ...]:
    found = []
    for name in selection.ranked[:_SCORES]:
        place = int(np.searchsorted(selection.rows, table.rows[name]))
        parts = {weigher: round(float(share[place]), 6) for weigher, share in selection.shares}
        found.append(Score(host=name, weight=round(float(selection.weights[place]), 6), parts=parts))
    return tuple(found)
