"""What all routes of the volume service share: the caller's view, bodies, pages."""

import ast
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import QueryParams

from api.auth import Context, ContextDep
from api.deps import Services, ServicesDep
from api.faults import validation_message
from infra.domain.errors import BadRequest, NotFound

M = TypeVar("M", bound=BaseModel)
MAX_LIMIT = 1000


@dataclass(frozen=True)
class Call:
    """One request: who asks, of which project, in which version."""

    context: Context
    services: Services
    version: int
    base: str
    """URL that links begin with; with the project's id where the request had it."""

    @property
    def project(self) -> str | None:
        """The project whose things the caller sees; None: everybody's.

        A worker that asks for a user sees what the user sees.
        """
        everything = self.context.is_admin or self.context.identity.has("service")
        return None if everything else self.context.project_id

    @property
    def quota(self) -> dict[str, int]:
        settings = self.services.settings.volume
        return {
            "volumes": settings.project_quota_volumes,
            "snapshots": settings.project_quota_snapshots,
            "gigabytes": settings.project_quota_gigabytes,
        }


async def call(request: Request, context: ContextDep, services: ServicesDep) -> Call:
    """Raises NotFound if the path names another project than the token."""
    base, named = f"{services.settings.api_url}/volume/v3", request.scope["path_project"]
    if named is not None:
        if not context.sees(named):
            raise NotFound("The resource could not be found.")
        base = f"{base}/{named}"
    return Call(context, services, request.scope["microversion"], base)


AnyCall = Annotated[Call, Depends(call)]


async def _reading(found: AnyCall) -> Call:
    found.context.require("reader")
    return found


async def _writing(found: AnyCall) -> Call:
    found.context.require("member")
    return found


async def _administrating(found: AnyCall) -> Call:
    found.context.require("admin")
    return found


ReadCall = Annotated[Call, Depends(_reading)]
WriteCall = Annotated[Call, Depends(_writing)]
AdminCall = Annotated[Call, Depends(_administrating)]


def check(model: type[M], body: Any, key: str | None = None) -> M:
    """The part of a body under ``key``, in the form of ``model``.

    Raises:
        BadRequest: it has another form.
    """
    data = body
    if key is not None:
        if not isinstance(body, dict) or key not in body:
            raise BadRequest(f"The request body must have a '{key}'.")
        data = body[key]
    try:
        return model.model_validate(data)
    except ValidationError as e:
        raise BadRequest(validation_message(e.errors())) from None


def timestamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.replace(tzinfo=None).isoformat(timespec="microseconds")


def is_true(value: str) -> bool:
    return value.lower() in ("true", "1", "t", "yes", "on", "y")


Filters = dict[str, Callable[[Any, str], bool]]


def listed(things: Sequence[M], params: QueryParams, filters: Filters, sort_keys: dict[str, str]) -> list[M]:
    """Those that match, in the order asked for (newest first).

    Args:
        sort_keys: keys that clients may sort by, and the attributes that they stand for.

    Raises:
        BadRequest: an unknown sort key or direction.
    """
    wanted = [(filters[name], value) for name, value in params.multi_items() if name in filters]
    found = [thing for thing in things if all(matches(thing, value) for matches, value in wanted)]
    order = [*_order(params), ("created_at", True), ("id", True)]
    for key, descending in reversed(order):
        if key not in sort_keys:
            raise BadRequest(f"Invalid input received: {key[:60]} is not a sort key.")
        found.sort(key=_by(sort_keys[key]), reverse=descending)
    return found


def _order(params: QueryParams) -> list[tuple[str, bool]]:
    if "sort" in params:
        if "sort_key" in params or "sort_dir" in params:
            raise BadRequest("The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with 'sort'.")
        pairs = [
            (key, direction or "desc") for key, _, direction in (p.partition(":") for p in params["sort"].split(","))
        ]
    else:
        pairs = [(params["sort_key"], params.get("sort_dir", "desc"))] if "sort_key" in params else []
        if "sort_dir" in params and not pairs:
            pairs = [("created_at", params["sort_dir"])]
    for _, direction in pairs:
        if direction not in ("asc", "desc"):
            raise BadRequest("Unknown sort direction, must be one of: asc, desc.")
    return [(key.strip(), direction == "desc") for key, direction in pairs]


def _by(name: str) -> Callable[[Any], tuple[bool, Any]]:
    def key(thing: Any) -> tuple[bool, Any]:
        value = getattr(thing, name)
        return (value is not None, "" if value is None else value)

    return key


def page(found: Sequence[Any], params: QueryParams) -> tuple[list[Any], str | None]:
    """The page asked for, and the query of the next one.

    Raises:
        BadRequest: ``limit`` or ``offset`` is no number.
        NotFound: the marker is not in the list.
    """
    limit, offset, marker = _number(params, "limit"), _number(params, "offset") or 0, params.get("marker")
    start = 0
    if marker is not None:
        ids = [thing.id for thing in found]
        if marker not in ids:
            raise NotFound(f"The marker {marker[:64]} could not be found.")
        start = ids.index(marker) + 1
    size = MAX_LIMIT if limit is None else min(limit, MAX_LIMIT)
    shown = list(found[start + offset : start + offset + size])
    if not shown or len(shown) < size or (limit is None and len(found) <= size):
        return shown, None
    pairs = [(name, value) for name, value in params.multi_items() if name not in ("marker", "offset")]
    return shown, urlencode([*pairs, ("marker", shown[-1].id)])


def links(name: str, call: Call, path: str, query: str | None) -> dict[str, Any]:
    """The ``<name>_links`` of a page, where there is a next one."""
    if query is None:
        return {}
    return {f"{name}_links": [{"rel": "next", "href": f"{call.base}/{path}?{query}"}]}


def _number(params: QueryParams, name: str) -> int | None:
    text = params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise BadRequest(f"Invalid input received: {name} must be a number that is not negative.")
    return int(text)


def mapping(text: str) -> dict[str, Any]:
    """A dictionary in a query, as JSON or as Python writes it.

    Raises:
        BadRequest: it is neither.
    """
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text[:8192])
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, dict):
            return {str(key): value for key, value in found.items()}
    raise BadRequest("Invalid input received: the filter must be a dictionary.")
