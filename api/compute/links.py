"""Links as the compute API writes them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

Link = dict[str, str]


def links(base: str, kind: str, item_id: str) -> list[Link]:
    """``self`` and ``bookmark`` of one thing. ``base`` is the public address of the REST door."""
    return [
        {"rel": "self", "href": f"{base}/compute/v2.1/{kind}/{item_id}"},
        {"rel": "bookmark", "href": f"{base}/compute/{kind}/{item_id}"},
    ]


def next_page(base: str, path: str, query: QueryParams, marker: str) -> list[Link]:
    """The link to the page after this one."""
    pairs = [(name, value) for name, value in query.multi_items() if name != "marker"]
    return [{"rel": "next", "href": f"{base}/compute/v2.1/{path}?{urlencode([*pairs, ('marker', marker)])}"}]


def add_next(
    reply: dict[str, Any], name: str, base: str, path: str, query: QueryParams, page: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Put ``<name>_links`` into a list's reply where ``limit`` was asked and the page is full."""
    limit = query.get("limit")
    if limit is not None and limit.isdigit() and page and len(page) >= int(limit) > 0:
        reply[f"{name}_links"] = next_page(base, path, query, str(page[-1]["id"]))
    return reply


def seconds(moment: datetime) -> str:
    """``2026-01-31T12:00:00Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micros(moment: datetime | None) -> str | None:
    """``2026-01-31T12:00:00.000000``, as the older extensions write it."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
