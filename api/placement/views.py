"""Hosts and claims as the Placement API's JSON (Placement API reference)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from api.placement.query import traits
from infra.domain.host import Claim, Host


def provider(base: str, host: Host, version: int) -> dict[str, Any]:
    relations = ["inventories", "usages"]
    relations += ["aggregates"] if version >= 1 else []
    relations += ["traits"] if version >= 6 else []
    relations += ["allocations"] if version >= 11 else []
    path = f"{base}/resource_providers/{host.id}"
    links = [{"rel": "self", "href": path}, *({"rel": rel, "href": f"{path}/{rel}"} for rel in relations)]
    shown: dict[str, Any] = {"uuid": host.id, "name": host.name, "generation": host.generation, "links": links}
    if version >= 14:
        shown |= {"parent_provider_uuid": None, "root_provider_uuid": host.id}
    return shown


def inventories(host: Host) -> dict[str, dict[str, Any]]:
    return {name: asdict(terms) for name, terms in host.inventories.items()}


def usages(host: Host) -> dict[str, int]:
    used = host.used
    return {name: used.get(name, 0) for name in host.inventories}


def amounts(claims: Iterable[Claim]) -> dict[str, int]:
    """The sum of some claims; a class of which nothing is claimed is left out."""
    return dict(sum((claim.amounts for claim in claims), Counter()))


def summary(host: Host, version: int) -> dict[str, Any]:
    own, used = host.inventories, usages(host)
    shown: dict[str, Any] = {
        "resources": {name: {"capacity": terms.capacity, "used": used[name]} for name, terms in own.items()}
    }
    if version >= 17:
        shown["traits"] = sorted(traits(host))
    if version >= 29:
        shown |= {"parent_provider_uuid": None, "root_provider_uuid": host.id}
    return shown


def candidate(host: Host, resources: dict[str, int], suffixes: list[str], version: int) -> dict[str, Any]:
    if version < 12:
        return {"allocations": [{"resource_provider": {"uuid": host.id}, "resources": resources}]}
    shown: dict[str, Any] = {"allocations": {host.id: {"resources": resources}}}
    if version >= 34:
        shown["mappings"] = {suffix: [host.id] for suffix in suffixes}
    return shown
