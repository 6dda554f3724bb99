"""Requirements in flavor extra specs: ``>= 5``, ``s== 2.1.0``, ``<in> gcc``, ``<all-in> aes mmx``, ``<or> a <or> b``.

Operators as in Nova's administration guide, "ComputeCapabilitiesFilter"; without one the text is compared as it is.
A figure that is no number never satisfies a numeric operator.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.scheduler.table import Mask

_NUMERIC: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
}
_TEXT: dict[str, Callable[[str, str], bool]] = {
    "s==": operator.eq,
    "s!=": operator.ne,
    "s>=": operator.ge,
    "s>": operator.gt,
    "s<=": operator.le,
    "s<": operator.lt,
}
_OPERATORS = ("<all-in>", "<in>", "<or>", *_TEXT, "==", "!=", ">=", "<=", "=")
_FORM = re.compile(
    rf"\s*({'|'.join(re.escape(o) for o in sorted(_OPERATORS, key=len, reverse=True))})\s*(.*?)\s*", re.S
)


@dataclass(frozen=True)
class Spec:
    """One requirement, read once and applied to many values."""

    operator: str
    operands: tuple[str, ...]
    number: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Spec":
        form = _FORM.fullmatch(text)
        if form is None:
            return cls("s==", (text,))
        op, rest = form.groups()
        if op == "<or>":
            return cls(op, tuple(part.strip() for part in rest.split("<or>")))
        if op == "<all-in>":
            return cls(op, tuple(rest.replace("<all-in>", " ").split()))
        return cls(op, (rest,), _float(rest) if op in _NUMERIC else None)

    def matches(self, value: Any) -> bool:
        """True if a capability (text, number, or a collection of them) satisfies this; None never does."""
        if value is None:
            return False
        if self.operator in _NUMERIC:
            found = _float(value)
            return found is not None and self.number is not None and bool(_NUMERIC[self.operator](found, self.number))
        many = isinstance(value, list | tuple | set | frozenset)
        if self.operator == "<all-in>":
            elements = {str(item) for item in value} if many else set(re.split(r"[\s,]+", str(value)))
            return elements.issuperset(self.operands)
        if self.operator == "<or>":
            return any(str(item) in self.operands for item in value) if many else str(value) in self.operands
        text = " ".join(str(item) for item in value) if many else str(value)
        return self.operands[0] in text if self.operator == "<in>" else _TEXT[self.operator](text, self.operands[0])

    def matches_column(self, column: NDArray[Any]) -> Mask:
        """The same for a column of numbers."""
        if self.operator in _NUMERIC:
            if self.number is None:
                return np.zeros(len(column), np.bool_)
            found: Mask = _NUMERIC[self.operator](column, self.number)
            return found
        distinct, places = np.unique(column, return_inverse=True)
        verdicts: Mask = np.fromiter((self.matches(value) for value in distinct.tolist()), np.bool_, len(distinct))
        return verdicts[places]


def values(text: str | None) -> frozenset[str]:
    """Values of an aggregate's metadata: separated by commas."""
    return frozenset() if text is None else frozenset(part.strip() for part in text.split(","))


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
