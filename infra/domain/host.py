"""Compute hosts: what they have, what is claimed of it, and whether they answer."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Inventory(BaseModel):
    """What a host offers, before allocation ratios."""

    model_config = ConfigDict(frozen=True)

    vcpus: int
    memory_mb: int
    disk_gb: int
    reserved_memory_mb: int = 0
    cpu_allocation_ratio: float = 16.0
    ram_allocation_ratio: float = 1.0
    disk_allocation_ratio: float = 1.0


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
    vcpus_claimed: int = 0
    memory_mb_claimed: int = 0
    disk_gb_claimed: int = 0
    servers: int = 0
    availability_zone: str = "nova"

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
