"""What of a host is a column of its own, and what it shares with others of its make."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from infra.domain.host import Host
from infra.domain.inventory import CLASSES


@dataclass(frozen=True)
class Kind:
    """What hosts of one make share."""

    hypervisor_type: str
    hypervisor_version: int
    accelerator: str
    architecture: str
    machine_types: tuple[str, ...]
    traits: frozenset[str]
    units: tuple[tuple[int, int], ...]
    """Of each of ``CLASSES`` the least amount that a server gets, and the one that all are multiples of."""
    cpu_info_json: str = field(repr=False)

    @cached_property
    def cpu_info(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.cpu_info_json)
        return found


COLUMNS: dict[str, tuple[Any, Callable[[Host], Any]]] = {
    "vcpus": (np.int64, lambda host: host.terms["VCPU"].total),
    "vcpus_largest": (np.int64, lambda host: host.terms["VCPU"].max_unit),
    "vcpus_capacity": (np.int64, lambda host: host.terms["VCPU"].capacity),
    "memory_mb": (np.int64, lambda host: host.terms["MEMORY_MB"].total),
    "memory_mb_largest": (np.int64, lambda host: host.terms["MEMORY_MB"].max_unit),
    "memory_mb_capacity": (np.int64, lambda host: host.terms["MEMORY_MB"].capacity),
    "memory_mb_reserved": (np.int64, lambda host: host.terms["MEMORY_MB"].reserved),
    "disk_gb": (np.int64, lambda host: host.terms["DISK_GB"].total),
    "disk_gb_largest": (np.int64, lambda host: host.terms["DISK_GB"].max_unit),
    "disk_gb_capacity": (np.int64, lambda host: host.terms["DISK_GB"].capacity),
    "pcpus": (np.int64, lambda host: host.terms["PCPU"].total),
    "pcpus_largest": (np.int64, lambda host: host.terms["PCPU"].max_unit),
    "pcpus_capacity": (np.int64, lambda host: host.terms["PCPU"].capacity),
    "vcpus_claimed": (np.int64, lambda host: host.vcpus_claimed),
    "memory_mb_claimed": (np.int64, lambda host: host.memory_mb_claimed),
    "disk_gb_claimed": (np.int64, lambda host: host.disk_gb_claimed),
    "pcpus_claimed": (np.int64, lambda host: host.pcpus_claimed),
    "servers": (np.int64, lambda host: host.servers),
    "io_ops": (np.int64, lambda host: host.report.io_ops),
    "build_failures": (np.int64, lambda host: host.build_failures),
    "hypervisor_version": (np.int64, lambda host: host.report.hypervisor_version),
    "pci_free": (np.int64, lambda host: len(host.pci_free)),
    "usable": (np.bool_, lambda host: host.enabled and host.ready and not host.forced_down),
    "reported_at": (np.float64, lambda host: host.reported_at.timestamp()),
    "generation": (np.int64, lambda host: host.generation),
    "changed": (np.int64, lambda host: host.changed),
    "name_hash": (np.uint64, lambda host: stable_hash(host.name)),
}
"""Name, type and value."""


def kind_of(host: Host) -> Kind:
    report = host.report
    return Kind(
        hypervisor_type=report.hypervisor_type,
        hypervisor_version=report.hypervisor_version,
        accelerator=report.accelerator,
        architecture=report.architecture,
        machine_types=report.machine_types,
        traits=frozenset(report.traits),
        units=tuple((host.terms[name].min_unit, host.terms[name].step_size) for name in CLASSES),
        cpu_info_json=json.dumps(report.cpu_info, sort_keys=True),
    )


def stable_hash(text: str) -> int:
    """64 bits that are the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
