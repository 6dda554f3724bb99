"""A compute host as ``os-hypervisors`` and ``os-services`` show it.

Kilonova knows one kind of compute service; its id is the host's, so that both resources name the same thing. Versions
before 2.53 have numbers for ids: a stable one is made from the UUID.
"""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from api.compute.links import micros
from infra.db.debts import Debt
from infra.domain.host import Host
from infra.settings import Settings

BINARY = "nova-compute"
"""What clients look for by name."""
UUIDS = 53
USAGE = (
    *("vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "free_ram_mb", "local_gb", "local_gb_used"),
    *("free_disk_gb", "disk_available_least", "running_vms", "current_workload"),
)


def is_up(host: Host, settings: Settings) -> bool:
    """True if the host's worker has reported lately and no operator says that it is off."""
    age = (datetime.now(UTC) - host.reported_at).total_seconds()
    return not host.forced_down and age <= settings.scheduler.host_down_seconds


def number(host: Host) -> int:
    """The id before 2.53."""
    return uuid.UUID(host.id).int % 2**31 if _is_uuid(host.id) else 1


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def host_id(host: Host, version: int) -> str | int:
    return host.id if version >= UUIDS else number(host)


def service(host: Host, version: int, settings: Settings, owed: Sequence[Debt] = ()) -> dict[str, Any]:
    """With ``kilonova:debts``, a sentence each, where the host owes clean-up."""
    shown: dict[str, Any] = {
        "id": host_id(host, version),
        "binary": BINARY,
        "host": host.name,
        "zone": host.availability_zone,
        "status": "enabled" if host.enabled else "disabled",
        "state": "up" if is_up(host, settings) else "down",
        "updated_at": micros(host.reported_at),
        "disabled_reason": host.disabled_reason,
    }
    if version >= 11:
        shown["forced_down"] = host.forced_down
    if owed:
        shown["kilonova:debts"] = [f"attempt {d.attempt} at server {d.server_id}: {d.what}" for d in owed]
    return shown


def hypervisor_brief(host: Host, version: int, settings: Settings) -> dict[str, Any]:
    return {
        "id": host_id(host, version),
        "hypervisor_hostname": host.name,
        "state": "up" if is_up(host, settings) else "down",
        "status": "enabled" if host.enabled else "disabled",
    }


def hypervisor(host: Host, version: int, settings: Settings) -> dict[str, Any]:
    report = host.report
    shown = hypervisor_brief(host, version, settings) | {
        "host_ip": report.host_ip,
        "hypervisor_type": report.hypervisor_type,
        "hypervisor_version": report.hypervisor_version,
        "service": {
            "id": host_id(host, version),
            "host": host.name,
            "disabled_reason": host.disabled_reason,
        },
    }
    if version >= 88:
        # No driver tells the time since the hypervisor's start.
        return shown | _devices(host) | {"uptime": None}
    cpu = {"arch": report.architecture, **report.cpu_info}
    return shown | _devices(host) | usage(host) | {"cpu_info": cpu if version >= 28 else json.dumps(cpu)}


def _devices(host: Host) -> dict[str, Any]:
    """With ``kilonova:pci_devices`` and, why others are none, ``kilonova:pci_refused``, where a host offers any."""
    free = {device.address for device in host.pci_free}
    devices = {device.address: device for device in (*host.pci_used, *host.report.pci_devices)}
    shown: dict[str, Any] = {}
    if devices:
        shown["kilonova:pci_devices"] = [
            {**device.model_dump(), "free": address in free} for address, device in sorted(devices.items())
        ]
    if host.report.pci_refused:
        shown["kilonova:pci_refused"] = list(host.report.pci_refused)
    return shown


def usage(host: Host) -> dict[str, int]:
    """Sizes and use, as shown before 2.88."""
    inventory = host.report.inventory
    return {
        "vcpus": inventory.vcpus,
        "vcpus_used": host.vcpus_claimed,
        "memory_mb": inventory.memory_mb,
        "memory_mb_used": host.memory_mb_claimed + inventory.reserved_memory_mb,
        "free_ram_mb": inventory.memory_mb - inventory.reserved_memory_mb - host.memory_mb_claimed,
        "local_gb": inventory.disk_gb,
        "local_gb_used": host.disk_gb_claimed,
        "free_disk_gb": inventory.disk_gb - host.disk_gb_claimed,
        "disk_available_least": inventory.disk_gb - host.disk_gb_claimed,
        "running_vms": host.servers,
        "current_workload": host.report.io_ops,
    }
