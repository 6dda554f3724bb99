"""Hosts and claims as the Placement API's JSON (Placement API reference)."""

from collections.abc import Iterable
from typing import Any

from api.placement.query import COLUMNS, traits
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
    own = host.report.inventory
    shown = {
        "VCPU": _inventory(own.vcpus, own.cpu_allocation_ratio),
        "MEMORY_MB": _inventory(own.memory_mb, own.ram_allocation_ratio, own.reserved_memory_mb),
        "DISK_GB": _inventory(own.disk_gb, own.disk_allocation_ratio),
        "PCPU": _inventory(own.pcpus, 1.0),
    }
    # Placement has no inventory of nothing.
    return {name: inventory for name, inventory in shown.items() if inventory["total"]}


def _inventory(total: int, ratio: float, reserved: int = 0) -> dict[str, Any]:
    return {
        "total": total,
        "reserved": reserved,
        "min_unit": 1,
        "max_unit": total,
        "step_size": 1,
        "allocation_ratio": ratio,
    }


def usages(host: Host) -> dict[str, int]:
    return {name: getattr(host, f"{COLUMNS[name]}_claimed") for name in inventories(host)}


def amounts(claims: Iterable[Claim]) -> dict[str, int]:
    """The sum of some claims; a class of which nothing is claimed is left out."""
    held = list(claims)
    sums = {name: sum(getattr(claim, column) for claim in held) for name, column in COLUMNS.items()}
    return {name: amount for name, amount in sums.items() if amount}


def summary(host: Host, version: int) -> dict[str, Any]:
    capacity, used = host.report.inventory.capacity, usages(host)
    shown: dict[str, Any] = {
        "resources": {name: {"capacity": getattr(capacity, COLUMNS[name]), "used": used[name]} for name in used}
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
