"""Query strings of lists: filters, order, pages with links, and ``fields`` (Networking API v2.0, "Filtering")."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import JSONResponse

from api.deps import Services
from api.network.types import boolean, whole_number
from infra.db.network_rows import Page, Selection
from infra.domain.errors import BadRequest

Json = dict[str, Any]
Filters = Mapping[str, tuple[str, Callable[[str], Any]]]
"""Name on the wire -> (the domain's name, how to read a value)."""

_MAX_VALUES = 500
TAGS: Filters = {name: (name, str) for name in ("tags", "tags-any", "not-tags", "not-tags-any")}
_CONTROLS = {"fields", "sort_key", "sort_dir", "limit", "marker", "page_reverse"}


def filters(
    text: Sequence[str] = (), booleans: Sequence[str] = (), numbers: Sequence[str] = (), **renamed: str
) -> Filters:
    """Filters for attributes that every resource has, and these; ``renamed`` maps the domain's names to the wire's."""
    made: dict[str, tuple[str, Callable[[str], Any]]] = {}
    for names, read in (
        (("id", "name", "description", "project_id", *text), str),
        (booleans, boolean),
        ((*numbers, "revision_number"), whole_number),
    ):
        made |= {renamed.get(name, name): (name, read) for name in names}
    made["tenant_id"] = made["project_id"]
    made["revision_number"] = ("revision", whole_number)
    return made


@dataclass(frozen=True)
class Listing:
    """A list request, read."""

    selection: Selection
    fields: tuple[str, ...]
    params: tuple[tuple[str, str], ...]


def read(request: Request, known: Filters, visible_to: str | None) -> Listing:
    """Read the query string of a list.

    Raises:
        BadRequest: an unknown filter, or a value of the wrong form.
    """
    params = tuple(request.query_params.multi_items())
    if len(params) > _MAX_VALUES:
        raise _refused("There are too many query parameters.")
    found: dict[str, tuple[Any, ...]] = {}
    for name, value in params:
        if name in _CONTROLS:
            continue
        for domain_name, parsed in _values(name, value, known):
            found[domain_name] = (*found.get(domain_name, ()), parsed)
    page = Page(sort=_sort(request, known), **_part(request))
    return Listing(Selection(filters=found, visible_to=visible_to, page=page), fields(request), params)


def fields(request: Request) -> tuple[str, ...]:
    return tuple(name for name in request.query_params.getlist("fields") if name)


def only(view: Json, names: Sequence[str]) -> Json:
    """The attributes asked for; all where none is named."""
    return {name: view[name] for name in names if name in view} if names else view


def answer(request: Request, services: Services, name: str, views: Sequence[Json], listing: Listing) -> JSONResponse:
    """A list with its links to the pages before and after it."""
    body: Json = {name: [only(view, listing.fields) for view in views]}
    page, links = listing.selection.page, []
    url = f"{services.settings.api_url}{request.scope['path']}"
    kept = [(key, value) for key, value in listing.params if key not in ("marker", "page_reverse")]
    if page.limit is not None and views:
        full = len(views) == page.limit
        if full or page.reverse:
            links.append({"rel": "next", "href": f"{url}?{urlencode([*kept, ('marker', views[-1]['id'])])}"})
        if page.marker is not None and (full or not page.reverse):
            back = [*kept, ("marker", views[0]["id"]), ("page_reverse", "True")]
            links.append({"rel": "previous", "href": f"{url}?{urlencode(back)}"})
    if links:
        body[f"{name}_links"] = links
    return JSONResponse(body)


def _values(name: str, value: str, known: Filters) -> list[tuple[str, Any]]:
    if name == "fixed_ips" and "fixed_ips" in known:
        key, separator, inner = value.partition("=")
        if not separator or key not in ("ip_address", "subnet_id", "ip_address_substr"):
            raise _refused("'fixed_ips' takes ip_address=, subnet_id= or ip_address_substr=.")
        return [(key, inner)]
    if name not in known:
        raise _refused(f"'{name[:64]}' is invalid attribute for filtering.")
    domain_name, convert = known[name]
    try:
        if name in TAGS:
            return [(domain_name, tag) for tag in value.split(",")]
        return [(domain_name, convert(value))]
    except ValueError as e:
        raise _refused(f"Invalid value for filter '{name}': {e}.") from None


def _sort(request: Request, known: Filters) -> tuple[tuple[str, bool], ...]:
    keys, directions = request.query_params.getlist("sort_key"), request.query_params.getlist("sort_dir")
    if directions and len(directions) != len(keys):
        raise _refused("The number of sort_keys and sort_dirs must be same.")
    order = []
    for key, direction in zip(keys, directions or ["asc"] * len(keys), strict=True):
        if direction.lower() not in ("asc", "desc"):
            raise _refused("sort_dir must be asc or desc.")
        name = known[key][0] if key in known else key
        order.append((name[:64], direction.lower() == "desc"))
    return tuple(order)


def _part(request: Request) -> dict[str, Any]:
    given = request.query_params
    try:
        limit = whole_number(given["limit"]) if "limit" in given else 0
        reverse = boolean(given.get("page_reverse", "false"))
    except ValueError as e:
        raise _refused(f"Invalid value for limit or page_reverse: {e}.") from None
    if limit < 0:
        raise _refused("'limit' should be an integer greater than or equal to 0.")
    return {"limit": limit or None, "marker": given.get("marker") or None, "reverse": reverse}


def _refused(message: str) -> BadRequest:
    return BadRequest(message, kind="HTTPBadRequest")
