"""Hosts for tests of placement."""

from typing import Any

from infra.db import hosts
from infra.db.engine import Database
from infra.domain.host import Claim, HostReport, Inventory

INVENTORY = Inventory(vcpus=4, memory_mb=8192, disk_gb=100, cpu_allocation_ratio=2.0)


def report(name: str, *, inventory: Inventory = INVENTORY, **more: Any) -> HostReport:
    values: dict[str, Any] = {"hypervisor_type": "QEMU", "hypervisor_version": 7002000, "accelerator": "tcg", **more}
    return HostReport(name=name, inventory=inventory, **values)


def add(db: Database, *names: str, **more: Any) -> None:
    """Enrolled and ready."""
    for name in names:
        db.write_now(hosts.enrol, report(name, **more))
        db.write_now(hosts.set_ready, name, True)


def claim(
    server_id: str, host: str, *, attempt: int = 1, vcpus: int = 1, memory_mb: int = 512, disk_gb: int = 1
) -> Claim:
    return Claim(server_id=server_id, host=host, attempt=attempt, vcpus=vcpus, memory_mb=memory_mb, disk_gb=disk_gb)
