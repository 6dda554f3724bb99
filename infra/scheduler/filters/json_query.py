import json
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from infra.domain.errors import BadRequest
from infra.domain.placement import PlacementRequest
from infra.scheduler.filters.capabilities import FIGURES
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_DEEP = 16


class JsonFilter:
    """Hint ``query``: passes hosts that a condition in JSON is true of, such as ``[">=", "$free_ram_mb", 1024]``."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        query = request.hints.get("query")
        if not query:
            return None
        try:
            read = json.loads(query) if isinstance(query, str) else query
        except (ValueError, RecursionError):
            read = None
        return _condition(table, read, _DEEP)


def _wrong() -> BadRequest:
    return BadRequest('Invalid scheduler hint query: a condition such as [">=", "$free_ram_mb", 1024] is expected.')


def _condition(table: HostTable, query: Any, deep: int) -> Mask:
    if not isinstance(query, list) or len(query) < 2 or not isinstance(query[0], str) or not deep:
        raise _wrong()
    name, *operands = query
    if name in ("and", "or", "not"):
        masks = np.array([_condition(table, operand, deep - 1) for operand in operands])
        combined: Mask = np.logical_or.reduce(masks) if name == "or" else np.logical_and.reduce(masks)
        return ~combined if name == "not" else combined
    if name != "in" and name not in _COMPARE:
        raise _wrong()
    first, *others = (_values(table, operand) for operand in operands)
    if not others:
        return np.zeros(len(table), np.bool_)
    verdicts = np.array([_compare(table, _COMPARE.get(name, operator.eq), first, other) for other in others])
    found: Mask = np.logical_or.reduce(verdicts) if name == "in" else np.logical_and.reduce(verdicts)
    return found


def _values(table: HostTable, operand: Any) -> Any:
    """The column of a ``$figure``, or the value itself; None for an unknown figure."""
    if not isinstance(operand, str | int | float):
        raise _wrong()
    if not isinstance(operand, str) or not operand.startswith("$"):
        return np.array(operand)
    name = operand[1:]
    if name in FIGURES:
        return FIGURES[name](table)
    return np.array(table.names) if name in ("host", "hypervisor_hostname") else None


def _compare(table: HostTable, compare: Callable[[Any, Any], Any], left: Any, right: Any) -> Mask:
    # Nothing is known of an unknown figure, and a name is no number.
    alike = left is not None and right is not None and (left.dtype.kind == "U") == (right.dtype.kind == "U")
    found: Mask = np.broadcast_to(np.asarray(compare(left, right) if alike else False), len(table))
    return found
