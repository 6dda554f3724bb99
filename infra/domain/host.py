"""Compute hosts: what they have, what is claimed of it, and whether they answer."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from infra.domain import inventory, pci
from infra.domain.inventory import CLASSES, Terms
from infra.domain.numa import CellUse, GuestCell, HostCell
from infra.domain.pci import PciDevice

DEFAULT_AVAILABILITY_ZONE = "nova"
"""Zone of hosts that no aggregate puts in one."""


class Resources(BaseModel):
    """An amount of each resource class: VCPU, MEMORY_MB, DISK_GB, PCPU."""

    model_config = ConfigDict(frozen=True)

    vcpus: int
    memory_mb: int
    disk_gb: int
    pcpus: int = 0
    """CPUs that one server has to itself."""


class Inventory(BaseModel):
    """What a host reports of its resources, before allocation ratios."""

    model_config = ConfigDict(frozen=True)

    vcpus: int
    memory_mb: int
    disk_gb: int
    pcpus: int = 0
    reserved_memory_mb: int = 0
    cpu_allocation_ratio: float = 16.0
    ram_allocation_ratio: float = 1.0
    disk_allocation_ratio: float = 1.0

    @property
    def terms(self) -> dict[str, Terms]:
        """The host's own: one server may have no more than there is, without overcommitment."""
        ratios = {"VCPU": self.cpu_allocation_ratio, "MEMORY_MB": self.ram_allocation_ratio}
        ratios["DISK_GB"] = self.disk_allocation_ratio
        return {
            name: Terms(
                total=total,
                reserved=self.reserved_memory_mb if name == "MEMORY_MB" else 0,
                max_unit=total,
                allocation_ratio=ratios.get(name, 1.0),
            )
            for name, column in CLASSES.items()
            for total in (getattr(self, column),)
        }


class HostReport(BaseModel):
    """What a host's worker says of itself when it enrols, and every few seconds after that."""

    model_config = ConfigDict(frozen=True)

    name: str
    inventory: Inventory
    hypervisor_type: str
    """``QEMU``, ``KVM`` or ``fake``."""
    hypervisor_version: int
    """As libvirt numbers it: 7002000 is 7.2.0."""
    accelerator: str
    """``kvm``, ``tcg`` or ``none``."""
    accelerator_reason: str = ""
    """Why this accelerator was taken, one sentence."""
    architecture: str = "x86_64"
    machine_types: tuple[str, ...] = ()
    cpu_info: dict[str, Any] = Field(default_factory=dict)
    host_ip: str = "127.0.0.1"
    tunnel_ip: str = "127.0.0.1"
    running_vms: int = 0
    io_ops: int = 0
    """Servers being built, copied or moved there now."""
    pci_devices: tuple[PciDevice, ...] = ()
    """Those that the host's settings offer and that can be given to guests, whether a guest has them or not."""
    pci_refused: tuple[str, ...] = ()
    """Why the others that its settings offer can't, a sentence each."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Monitor values by name, for the metrics weigher."""
    traits: tuple[str, ...] = ()
    """Names as the Placement API has them: ``HW_CPU_X86_AVX2``, ``CUSTOM_GOLD``, ..."""
    numa: tuple[HostCell, ...] = ()


class Host(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    report: HostReport
    enabled: bool = True
    disabled_reason: str | None = None
    forced_down: bool = False
    ready: bool = False
    """Its worker has paid its debts and polls its queues."""
    reported_at: datetime
    created_at: datetime
    generation: int = 0
    changed: int = 0
    """Number of its latest change, among those of all hosts."""
    vcpus_claimed: int = 0
    memory_mb_claimed: int = 0
    disk_gb_claimed: int = 0
    pcpus_claimed: int = 0
    numa_used: tuple[CellUse, ...] = ()
    """What servers with a topology hold of the cells."""
    terms_set: dict[str, dict[str, int | float]] = Field(default_factory=dict)
    """By resource class, the terms that an operator set and that are not the host's own."""
    pci_used: tuple[PciDevice, ...] = ()
    """Devices that servers have, also those that the host reports no more."""
    servers: int = 0
    availability_zone: str = DEFAULT_AVAILABILITY_ZONE
    build_failures: int = 0
    """Builds that failed there since the last one that succeeded."""

    @property
    def name(self) -> str:
        return self.report.name

    @property
    def pci_free(self) -> tuple[PciDevice, ...]:
        return pci.free(self.report.pci_devices, self.pci_used)

    @cached_property
    def terms(self) -> dict[str, Terms]:
        """On which it gives out each of ``CLASSES``."""
        return inventory.changed(self.report.inventory.terms, self.terms_set)

    @cached_property
    def inventories(self) -> dict[str, Terms]:
        """Of all that it has any of, PCI devices by vendor and product too. Reserved are those that nobody has and
        nobody can get, because of what another has."""
        found = {name: terms for name, terms in self.terms.items() if terms.total}
        every = {device.address: device for device in (*self.report.pci_devices, *self.pci_used)}
        for name, total in _by_class(every.values()).items():
            given = _by_class((*self.pci_used, *self.pci_free))[name]
            found[name] = Terms(total=total, reserved=total - given, max_unit=total)
        return found

    @property
    def used(self) -> dict[str, int]:
        """What servers hold, by resource class."""
        claimed = {name: getattr(self, f"{column}_claimed") for name, column in CLASSES.items()}
        return {**claimed, **_by_class(self.pci_used)}


class Claim(BaseModel):
    """What one server holds of one host."""

    model_config = ConfigDict(frozen=True)

    server_id: str
    host: str
    attempt: int
    vcpus: int
    memory_mb: int
    disk_gb: int
    pcpus: int = 0
    numa: tuple[GuestCell, ...] = ()
    """The server's cells, if it asked for a topology: which CPUs and which memory of the host it has."""
    pci: tuple[PciDevice, ...] = ()
    """The devices that it has to itself, if it asked for any."""
    image_properties: dict[str, str] = Field(default_factory=dict)
    """Of the server's image; the image properties weigher counts them."""
    quarantined: bool = False
    """The server is gone for its user, but the host could not confirm it yet: the room stays taken."""

    @property
    def amounts(self) -> Counter[str]:
        """By resource class."""
        return Counter({name: getattr(self, column) for name, column in CLASSES.items()}) + _by_class(self.pci)


def _by_class(devices: Iterable[PciDevice]) -> Counter[str]:
    return Counter(device.resource_class for device in devices)


class Aggregate(BaseModel):
    """A group of hosts that operators make, with metadata; one with ``availability_zone`` is a zone."""

    model_config = ConfigDict(frozen=True)

    id: int
    uuid: str
    name: str
    metadata: dict[str, str] = Field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime | None = None
    generation: int = 0

    @property
    def availability_zone(self) -> str | None:
        return self.metadata.get("availability_zone")
