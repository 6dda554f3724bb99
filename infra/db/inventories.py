"""The terms on which hosts give out their resources, where an operator set others than the hosts' own.

Only what differs is kept, so that reports go on to say everything else.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from sqlmodel import Session, col, update

from infra.db import hosts
from infra.db.tables.hosts import HostRow
from infra.domain.errors import BadRequest, Conflict
from infra.domain.host import Host
from infra.domain.inventory import CLASSES, Terms, changed


def set_terms(
    session: Session, name: str, generation: int, wanted: Mapping[str, Terms], *, every: bool = False
) -> Host:
    """Give a host's resources out on these terms from now on; what servers have already stays theirs.

    Args:
        generation: of the host that the caller saw.
        every: every class that the host has must be among them.

    Raises:
        NotFound: there is no such host.
        Conflict: the host has changed since, or a class is missing.
        BadRequest: the host has none of a class, or another amount of it.
    """
    host = hosts.get(session, name)
    missing = sorted(host.inventories.keys() - wanted.keys()) if every else []
    if missing:
        raise Conflict(f"Inventory for {', '.join(missing)} is what the host reports: it can't be removed.")
    for resource_class, terms in wanted.items():
        _check(host, resource_class, terms)
    kept = host.terms_set | {
        resource_class: differences
        for resource_class in CLASSES.keys() & wanted.keys()
        for differences in (_differences(host, resource_class, wanted[resource_class]),)
    }
    return _keep(session, host, generation, kept)


def forget_terms(session: Session, name: str, classes: Collection[str]) -> Host:
    """Give these classes out on the host's own terms again. Raises as ``set_terms``."""
    host = hosts.get(session, name)
    kept = {resource_class: terms for resource_class, terms in host.terms_set.items() if resource_class not in classes}
    return _keep(session, host, host.generation, kept)


def _check(host: Host, resource_class: str, terms: Terms) -> None:
    known = host.inventories.get(resource_class)
    if known is None:
        raise BadRequest(f"Unknown resource class in inventory for resource provider {host.id}: {resource_class}.")
    if terms.total != known.total:
        raise BadRequest(f"The total of {resource_class} is what the host reports: {known.total}.")
    if resource_class not in CLASSES and terms != known:
        raise BadRequest(f"The inventory of {resource_class} is that of the host's devices, and can't be changed.")


def _differences(host: Host, resource_class: str, terms: Terms) -> dict[str, Any]:
    own = asdict(host.report.inventory.terms[resource_class])
    return {field: value for field, value in asdict(terms).items() if value != own[field]}


def _keep(session: Session, host: Host, generation: int, kept: dict[str, dict[str, Any]]) -> Host:
    kept = {resource_class: terms for resource_class, terms in kept.items() if terms}
    statement = (
        update(HostRow)
        .where(col(HostRow.name) == host.name, col(HostRow.generation) == generation)
        .values(
            terms_set=kept,
            generation=generation + 1,
            **hosts.terms_columns(changed(host.report.inventory.terms, kept)),
        )
    )
    if host.generation != generation or session.connection().execute(statement).rowcount == 0:
        raise Conflict("resource provider generation conflict", kind="ConcurrentUpdate")
    return hosts.get(session, host.name)
