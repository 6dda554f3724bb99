"""What a host offers of each resource class, and on which terms, as the Placement API has it. Pure rules."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

CLASSES = {"VCPU": "vcpus", "MEMORY_MB": "memory_mb", "DISK_GB": "disk_gb", "PCPU": "pcpus"}
"""Resource classes that every host may have, and what they are called here."""
LARGEST = 2**31 - 1
"""The largest amount that can be told or kept."""


@dataclass(frozen=True)
class Terms:
    """An inventory of one resource class: how much there is, and how it is given out."""

    total: int
    reserved: int = 0
    min_unit: int = 1
    max_unit: int = LARGEST
    step_size: int = 1
    allocation_ratio: float = 1.0

    @property
    def capacity(self) -> int:
        """What all servers together may claim: (total - reserved) x allocation ratio."""
        return min(LARGEST, max(0, int((self.total - self.reserved) * self.allocation_ratio)))

    def allow(self, amount: int) -> bool:
        """Whether one server may have this amount, if it is there."""
        return self.min_unit <= amount <= self.max_unit and amount % self.step_size == 0


def changed(own: Mapping[str, Terms], changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Terms]:
    """The terms of each class, with the fields that an operator set."""
    return {name: replace(terms, **changes.get(name, {})) for name, terms in own.items()}
