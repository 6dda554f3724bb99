"""Compute hosts: what they have, what is claimed of it, and whether they answer."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from infra.domain.numa import CellUse, GuestCell, HostCell

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
    """What a host offers, before allocation ratios."""

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
    def capacity(self) -> Resources:
        """What all servers together may claim: (total - reserved) x allocation ratio, as in the Placement API."""
        return Resources(
            vcpus=int(self.vcpus * self.cpu_allocation_ratio),
            memory_mb=max(0, int((self.memory_mb - self.reserved_memory_mb) * self.ram_allocation_ratio)),
            disk_gb=int(self.disk_gb * self.disk_allocation_ratio),
            pcpus=self.pcpus,
        )

    @property
    def largest(self) -> Resources:
        """What one server may claim at most: the total, without overcommitment (Placement's ``max_unit``)."""
        return Resources(vcpus=self.vcpus, memory_mb=self.memory_mb, disk_gb=self.disk_gb, pcpus=self.pcpus)


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
    pci_devices_free: int = 0
    """Devices that could be passed through and are not."""
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
    servers: int = 0
    availability_zone: str = DEFAULT_AVAILABILITY_ZONE
    build_failures: int = 0
    """Builds that failed there since the last one that succeeded."""

    @property
    def name(self) -> str:
        return self.report.name


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
    image_properties: dict[str, str] = Field(default_factory=dict)
    """Of the server's image; the image properties weigher counts them."""
    quarantined: bool = False
    """The server is gone for its user, but the host could not confirm it yet: the room stays taken."""


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
