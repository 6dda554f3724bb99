"""Query strings of the Placement API: ``resources``, ``required``, ``member_of``, and the rest of the filters."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import QueryParams

from infra.domain.errors import BadRequest
from infra.domain.host import Aggregate, Host
from infra.domain.inventory import CLASSES

DISABLED = "COMPUTE_STATUS_DISABLED"
"""Trait of hosts that an operator disabled."""


@dataclass(frozen=True)
class Query:
    """What is asked of providers; every part must hold."""

    resources: dict[str, int]
    required: tuple[frozenset[str], ...]
    """Of each set a provider has one trait at least."""
    forbidden: frozenset[str]
    member_of: tuple[frozenset[str], ...]
    """Of each set of aggregates a provider is in one at least."""
    not_member_of: frozenset[str]
    name: str | None = None
    uuid: str | None = None
    in_tree: str | None = None

    def selects(self, host: Host, aggregates: frozenset[str]) -> bool:
        own = traits(host)
        return (
            self.name in (None, host.name)
            and self.uuid in (None, host.id)
            and self.in_tree in (None, host.id)
            and all(own & wanted for wanted in self.required)
            and not own & self.forbidden
            and all(aggregates & wanted for wanted in self.member_of)
            and not aggregates & self.not_member_of
            and all(fits(host, resource, amount) for resource, amount in self.resources.items())
        )


def read(request: Request, allowed: Iterable[str]) -> Query:
    """Read the query string.

    Raises:
        BadRequest: a parameter is unknown, or its value has a wrong form.
    """
    parameters = request.query_params
    unknown = sorted(set(parameters) - set(allowed))
    if unknown:
        raise BadRequest(f"Invalid query string parameters: {unknown[0][:60]!r} is not one of {sorted(allowed)}.")
    return of(parameters)


def of(parameters: QueryParams) -> Query:
    """What these parameters, all of them known, ask. Raises BadRequest: a value has a wrong form."""
    required, forbidden = _required(parameters.getlist("required"))
    member_of, not_member_of = _member_of(parameters.getlist("member_of"))
    return Query(
        resources=_resources(parameters.get("resources")),
        required=required,
        forbidden=forbidden,
        member_of=member_of,
        not_member_of=not_member_of,
        name=parameters.get("name"),
        uuid=parameters.get("uuid"),
        in_tree=parameters.get("in_tree"),
    )


async def printable(request: Request) -> None:
    """Raises BadRequest for text that PostgreSQL can't even compare."""
    for text in (request.scope["path"], *(part for pair in request.query_params.multi_items() for part in pair)):
        if not text.isprintable():
            raise BadRequest("The request's path or query holds characters that are not allowed.")


def memberships(aggregates: Iterable[Aggregate]) -> dict[str, frozenset[str]]:
    """Uuids of the aggregates of each host that is in any."""
    found: dict[str, frozenset[str]] = {}
    for aggregate in aggregates:
        for host in aggregate.hosts:
            found[host] = found.get(host, frozenset()) | {aggregate.uuid}
    return found


def traits(host: Host) -> frozenset[str]:
    own = frozenset(host.report.traits)
    return own if host.enabled else own | {DISABLED}


def fits(host: Host, resource: str, amount: int) -> bool:
    """Whether one consumer could get this now."""
    terms = host.inventories.get(resource)
    return terms is not None and terms.allow(amount) and amount <= terms.capacity - host.used.get(resource, 0)


def _resources(text: str | None) -> dict[str, int]:
    if text is None:
        return {}
    found: dict[str, int] = {}
    for part in text.split(","):
        name, _, amount = part.partition(":")
        if not re.fullmatch(r"[1-9]\d{0,17}", amount):
            raise BadRequest("Badly formed resources parameter. Expected resources=VCPU:1,MEMORY_MB:512.")
        if name not in CLASSES and not re.fullmatch(r"CUSTOM_PCI_[0-9A-F]{4}_[0-9A-F]{4}", name):
            raise BadRequest(f"Invalid resource class in resources parameter: {name[:60]!r}.")
        found[name] = int(amount)
    return found


def _required(values: list[str]) -> tuple[tuple[frozenset[str], ...], frozenset[str]]:
    required: list[frozenset[str]] = []
    forbidden: set[str] = set()
    for value in values:
        any_of = value.startswith("in:")
        names = value.removeprefix("in:").split(",")
        if not all(re.fullmatch(r"!?[A-Z0-9_]{1,255}", name) for name in names):
            raise BadRequest("Invalid query string parameters: expected 'required' to be trait names, as T1,!T2.")
        if any_of:
            required.append(frozenset(names))
        else:
            forbidden.update(name[1:] for name in names if name.startswith("!"))
            required += [frozenset({name}) for name in names if not name.startswith("!")]
    return tuple(required), frozenset(forbidden)


def _member_of(values: list[str]) -> tuple[tuple[frozenset[str], ...], frozenset[str]]:
    wanted: list[frozenset[str]] = []
    unwanted: set[str] = set()
    for value in values:
        ids = frozenset(value.removeprefix("!").removeprefix("in:").split(","))
        if not all(re.fullmatch(r"[0-9a-fA-F-]{32,36}", id) for id in ids):
            raise BadRequest("Invalid query string parameters: expected 'member_of' to be uuids of aggregates.")
        if value.startswith("!"):
            unwanted.update(ids)
        else:
            wanted.append(ids)
    return tuple(wanted), frozenset(unwanted)


def limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise BadRequest("Invalid query string parameters: expected 'limit' to be a positive integer.")
    return int(text)
