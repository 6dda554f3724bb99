from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.domain.placement import PlacementRequest
from infra.scheduler.columns import Kind
from infra.scheduler.specs import Spec
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings

FIGURES: dict[str, Callable[[HostTable], NDArray[np.int64]]] = {
    "free_ram_mb": lambda table: table.memory_mb - table.memory_mb_reserved - table.memory_mb_claimed,
    "free_disk_mb": lambda table: (table.disk_gb - table.disk_gb_claimed) * 1024,
    "total_usable_ram_mb": lambda table: table.memory_mb,
    "total_usable_disk_gb": lambda table: table.disk_gb,
    "disk_mb_used": lambda table: table.disk_gb_claimed * 1024,
    "vcpus_total": lambda table: table.vcpus,
    "vcpus_used": lambda table: table.vcpus_claimed,
    "num_instances": lambda table: table.servers,
    "num_io_ops": lambda table: table.io_ops,
    "failed_builds": lambda table: table.build_failures,
    "hypervisor_version": lambda table: table.hypervisor_version,
}
_NAMES = ("host", "hypervisor_hostname")
_KIND = ("hypervisor_type", "accelerator", "architecture", "machine_types", "cpu_info")


class ComputeCapabilitiesFilter:
    """Each ``capabilities:`` extra spec must match what the host reports; unscoped ones that name a figure too."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        mask: Mask | None = None
        for key, text in request.flavor.extra_specs.items():
            path = key.split(":")
            if path[0] == "capabilities" and len(path) > 1:
                path = path[1:]
            elif len(path) > 1 or path[0] not in (*FIGURES, *_NAMES, *_KIND):
                continue
            having = _having(table, path, Spec.parse(text))
            mask = having if mask is None else mask & having
        return mask


def _having(table: HostTable, path: list[str], spec: Spec) -> Mask:
    if len(path) == 1 and path[0] in FIGURES:
        return spec.matches_column(FIGURES[path[0]](table))
    if len(path) == 1 and path[0] in _NAMES:
        return np.fromiter((spec.matches(name) for name in table.names), np.bool_, len(table))
    if path[0] not in _KIND:
        return np.zeros(len(table), np.bool_)
    return table.by_kind(lambda kind: spec.matches(_capability(kind, path)))


def _capability(kind: Kind, path: list[str]) -> Any:
    value: Any = getattr(kind, path[0])
    for part in path[1:]:
        value = value.get(part) if isinstance(value, dict) else None
    return value
