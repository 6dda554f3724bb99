"""Paging and sorting of lists, as query parameters (Compute API reference, "Paginated collections")."""

from dataclasses import dataclass

from starlette.datastructures import QueryParams

from infra.domain.errors import BadRequest

MAX_LIMIT = 1000


@dataclass(frozen=True)
class Page:
    limit: int = MAX_LIMIT
    marker: str | None = None


def page(query: QueryParams) -> Page:
    """Raises BadRequest if ``limit`` is not a number of 0 or more."""
    text = query.get("limit")
    if text is None:
        return Page(marker=query.get("marker"))
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise BadRequest("limit must be a number of 0 or more.")
    return Page(min(int(text), MAX_LIMIT), query.get("marker"))


def whole_number(query: QueryParams, name: str) -> int | None:
    """A query parameter that must be a number of 0 or more, where it is given."""
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise BadRequest(f"Invalid {name} filter: it must be a number of 0 or more.")
    return int(text)


_TRUE = ("true", "1", "t", "yes", "on", "y")
_FALSE = ("false", "0", "f", "no", "off", "n")


def flag(query: QueryParams, name: str) -> bool | None:
    """A query parameter that is true, false or not given; ``name`` without a value is true.

    Raises:
        BadRequest: it is something else.
    """
    text = query.get(name)
    if text is None:
        return None
    if text == "" or text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise BadRequest(f"Invalid value of {name}: it must be true or false.")
