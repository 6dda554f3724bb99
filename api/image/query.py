"""The list's filters, order and pages (Image API v2, "List images")."""

import operator
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from api.image.views import image_view
from infra.domain.errors import BadRequest
from infra.domain.image import Image

DEFAULT_LIMIT = 25
MAX_LIMIT = 1000
_VISIBILITIES = ("public", "private", "shared", "community", "all")
_MEMBER_STATUSES = ("accepted", "pending", "rejected", "all")
_CONTROLS = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "member_status"})
_SORT_KEYS = frozenset(
    [
        "name",
        "status",
        "container_format",
        "disk_format",
        "size",
        "virtual_size",
        "id",
        "created_at",
        "updated_at",
        "owner",
        "visibility",
        "min_disk",
        "min_ram",
        "protected",
        "checksum",
        "os_hash_algo",
        "os_hash_value",
        "os_hidden",
    ]
)
_IN = frozenset({"id", "name", "status", "disk_format", "container_format", "checksum"})
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
}
_TRUE = ("true", "1", "yes", "on", "t", "y")

Filter = Callable[[Image, dict[str, Any]], bool]


def visibility(params: QueryParams) -> str | None:
    value = params.get("visibility")
    if value is not None and value not in _VISIBILITIES:
        raise BadRequest(f"Invalid visibility value; it must be one of {', '.join(_VISIBILITIES)}.")
    return value


def member_status(params: QueryParams) -> str:
    value = params.get("member_status", "accepted")
    if value not in _MEMBER_STATUSES:
        raise BadRequest(f"Invalid member status; it must be one of {', '.join(_MEMBER_STATUSES)}.")
    return value


def page(images: Sequence[Image], params: QueryParams) -> dict[str, Any]:
    """One page of those images that match, as the reply's body.

    Raises:
        BadRequest: a parameter has the wrong form, or the marker is no image of the list.
    """
    filters = [_filter(name, value) for name, value in params.multi_items() if name not in _CONTROLS]
    if "os_hidden" not in params:
        filters.append(lambda image, wire: not image.hidden)
    rows = [(image, image_view(image)) for image in images]
    rows = [row for row in rows if all(matches(*row) for matches in filters)]
    for key, descending in reversed(_order(params)):
        # Times are told in seconds and kept exactly: images of one second have an order too.
        exact = key in ("created_at", "updated_at")
        rows.sort(key=lambda row: _sortable(getattr(row[0], key) if exact else row[1].get(key)), reverse=descending)
    found = [wire for _, wire in rows]
    limit = _limit(params)
    start = _after(images, found, params.get("marker"))
    shown = found[start : start + limit]
    body: dict[str, Any] = {"images": shown, "schema": "/v2/schemas/images", "first": _link(params, None)}
    if len(found) > start + limit and shown:
        body["next"] = _link(params, shown[-1]["id"])
    return body


def _after(images: Sequence[Image], found: list[dict[str, Any]], marker: str | None) -> int:
    if marker is None:
        return 0
    for index, wire in enumerate(found):
        if wire["id"] == marker:
            return index + 1
    if any(image.id == marker for image in images):
        return len(found)
    raise BadRequest("The marker is not an image of this list.")


def _limit(params: QueryParams) -> int:
    text = params.get("limit")
    if text is None:
        return DEFAULT_LIMIT
    if not text.isdecimal() or len(text) > 18:
        raise BadRequest("limit param must be an integer that is not negative")
    return min(int(text), MAX_LIMIT)


def _link(params: QueryParams, marker: str | None) -> str:
    pairs = [(name, value) for name, value in params.multi_items() if name != "marker"]
    if marker is not None:
        pairs.append(("marker", marker))
    return "/v2/images" + (f"?{urlencode(pairs)}" if pairs else "")


def _order(params: QueryParams) -> list[tuple[str, bool]]:
    """(key, descending), first key first; ties are broken so that pages never overlap."""
    if "sort" in params:
        if "sort_key" in params or "sort_dir" in params:
            raise BadRequest("Old and new sorting syntax cannot be combined")
        pairs = [
            (key, direction or "desc") for key, _, direction in (p.partition(":") for p in params["sort"].split(","))
        ]
    else:
        keys = params.getlist("sort_key") or ["created_at"]
        directions = params.getlist("sort_dir") or ["desc"]
        if len(directions) not in (1, len(keys)):
            raise BadRequest("Number of sort dirs does not match the number of sort keys")
        pairs = list(zip(keys, directions if len(directions) == len(keys) else directions * len(keys), strict=True))
    for key, direction in pairs:
        if key not in _SORT_KEYS or direction not in ("asc", "desc"):
            raise BadRequest("Unknown sort key or sort direction.")
    return [(key, direction == "desc") for key, direction in [*pairs, ("created_at", "desc"), ("id", "desc")]]


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


def _filter(name: str, value: str) -> Filter:
    if name == "tag":
        return lambda image, wire: value in image.tags
    if name in ("size_min", "size_max"):
        if not value.isdecimal() or len(value) > 18:
            raise BadRequest(f"Invalid value for {name}: it must be an integer that is not negative.")
        bound, compare = int(value), operator.ge if name == "size_min" else operator.le
        return lambda image, wire: image.size is not None and compare(image.size, bound)
    if name in ("created_at", "updated_at"):
        return _time_filter(name, value)
    if name in ("protected", "os_hidden"):
        wanted = value.lower() in _TRUE
        return lambda image, wire: wire[name] is wanted
    if name in _IN and value.startswith("in:"):
        values = [part.strip().strip('"') for part in value[3:].split(",")]
        return lambda image, wire: wire[name] in values
    return lambda image, wire: wire.get(name) is not None and str(wire[name]) == value


def _time_filter(name: str, value: str) -> Filter:
    operation, colon, moment = value.partition(":")
    if operation not in _COMPARE or not colon:
        operation, moment = "eq", value
    try:
        wanted = datetime.fromisoformat(moment.replace("Z", "+00:00")).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise BadRequest(
            f"Invalid time in {name}: it must be ISO 8601, after gt:, gte:, lt:, lte:, eq: or neq:."
        ) from None
    compare = _COMPARE[operation]
    return lambda image, wire: compare(wire[name], wanted)
