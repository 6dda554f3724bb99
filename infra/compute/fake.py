"""A hypervisor that only remembers: for tests, benchmarks and hosts that do not exist.

With a directory it remembers across restarts of its worker, one JSON file a domain, as libvirtd would.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from infra.compute import disks
from infra.compute.driver import Disk, DomainState, Guest, Interface
from infra.compute.libvirt.domain_xml import device_names
from infra.domain.errors import HostRejected, NotFound
from infra.domain.host import HostReport, Inventory
from infra.domain.numa import HostCell
from infra.domain.pci import PciDevice
from infra.domain.server import PowerState

Fault = Callable[[str, str], None]
"""Called with a call's name and ``before`` or ``after`` its effect; raises what the call is to fail with."""


class _Domain(BaseModel):
    guest: Guest
    power_state: int = PowerState.SHUTDOWN

    def state(self) -> DomainState:
        return DomainState(
            server_id=self.guest.server_id,
            attempt=self.guest.attempt,
            domain_name=self.guest.domain_name,
            power_state=self.power_state,
        )


def _no_fault(_call: str, _moment: str) -> None:
    return


class FakeDriver:
    """See ``infra.compute.driver.Driver``."""

    def __init__(
        self,
        name: str,
        inventory: Inventory,
        *,
        pci_devices: tuple[PciDevice, ...] = (),
        directory: Path | None = None,
        start_seconds: float = 0.0,
        fault: Fault = _no_fault,
    ) -> None:
        self.name = name
        self.inventory = inventory
        self.pci_devices = pci_devices
        self.start_seconds = start_seconds
        """How long a start takes."""
        self.fault = fault
        self._directory = directory
        self._lock = threading.Lock()
        self._domains: dict[str, _Domain] = {}
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            for path in directory.glob("*.json"):
                domain = _Domain.model_validate_json(path.read_bytes())
                self._domains[domain.guest.server_id] = domain

    def _cell(self) -> HostCell:
        shared, dedicated = self.inventory.vcpus, self.inventory.pcpus
        return HostCell(
            id=0,
            shared=tuple(range(shared)),
            dedicated=tuple(range(shared, shared + dedicated)),
            memory_mb=self.inventory.memory_mb,
        )

    def report(self) -> HostReport:
        self.fault("report", "before")
        with self._lock:
            running = sum(domain.power_state in _ON for domain in self._domains.values())
        return HostReport(
            name=self.name,
            inventory=self.inventory,
            hypervisor_type="fake",
            hypervisor_version=1000000,
            accelerator="none",
            accelerator_reason="The fake hypervisor runs no code.",
            machine_types=("q35",),
            cpu_info={"arch": "x86_64", "model": "fake", "vendor": "fake", "features": [], "topology": {}},
            running_vms=running,
            numa=(self._cell(),),
            pci_devices=self.pci_devices,
        )

    def define(self, guest: Guest) -> None:
        self.fault("define", "before")
        with self._lock:
            existing = self._domains.get(guest.server_id)
            if existing is not None and existing.guest.attempt != guest.attempt and existing.power_state in _ON:
                raise HostRejected(f"Attempt {existing.guest.attempt} of the server still runs on this host", soft=True)
            if existing is None or existing.guest.attempt != guest.attempt:
                self._save(_Domain(guest=guest))
        self.fault("define", "after")

    def start(self, server_id: str) -> None:
        self._check_devices(self._domain(server_id).guest)
        time.sleep(self.start_seconds)
        self._switch("start", server_id, {PowerState.SHUTDOWN, PowerState.SUSPENDED}, PowerState.RUNNING)

    def stop(self, server_id: str, *, grace_seconds: float) -> None:
        self._switch("stop", server_id, _ON | {PowerState.SUSPENDED}, PowerState.SHUTDOWN)

    def reboot(self, server_id: str, *, hard: bool, grace_seconds: float) -> None:
        self._switch("reboot", server_id, _ALL, PowerState.RUNNING)

    def pause(self, server_id: str) -> None:
        self._switch("pause", server_id, {PowerState.RUNNING}, PowerState.PAUSED, {PowerState.PAUSED})

    def unpause(self, server_id: str) -> None:
        self._switch("unpause", server_id, {PowerState.PAUSED}, PowerState.RUNNING, {PowerState.RUNNING})

    def suspend(self, server_id: str) -> None:
        self._switch("suspend", server_id, _ON, PowerState.SUSPENDED, {PowerState.SUSPENDED})

    def resume(self, server_id: str) -> None:
        self._switch("resume", server_id, {PowerState.SHUTDOWN, PowerState.SUSPENDED}, PowerState.RUNNING)

    def attach_disk(self, server_id: str, disk: Disk) -> None:
        self.fault("attach_disk", "before")
        with self._lock:
            domain = self._domain(server_id)
            disks = domain.guest.disks
            if not any(_same(known, disk.serial) for known in disks):
                if any(known.device == disk.device for known in disks):
                    raise HostRejected(f"The hypervisor could not attach the disk: target {disk.device} is in use")
                self._save_guest(domain, disks=(*disks, disk))
        self.fault("attach_disk", "after")

    def detach_disk(self, server_id: str, serial: str, *, timeout_seconds: float) -> None:
        self.fault("detach_disk", "before")
        with self._lock:
            domain = self._domains.get(server_id)
            if domain is not None:
                left = tuple(disk for disk in domain.guest.disks if not _same(disk, serial))
                self._save_guest(domain, disks=left)
        self.fault("detach_disk", "after")

    def attach_interface(self, server_id: str, interface: Interface) -> None:
        self.fault("attach_interface", "before")
        with self._lock:
            domain = self._domain(server_id)
            if all(known.port_id != interface.port_id for known in domain.guest.interfaces):
                self._save_guest(domain, interfaces=(*domain.guest.interfaces, interface))
        self.fault("attach_interface", "after")

    def detach_interface(self, server_id: str, port_id: str, *, timeout_seconds: float) -> None:
        self.fault("detach_interface", "before")
        with self._lock:
            domain = self._domains.get(server_id)
            if domain is not None:
                left = tuple(known for known in domain.guest.interfaces if known.port_id != port_id)
                self._save_guest(domain, interfaces=left)
        self.fault("detach_interface", "after")

    def definition(self, server_id: str) -> str:
        self.fault("definition", "before")
        with self._lock:
            return self._domain(server_id).guest.model_dump_json()

    def restore(self, server_id: str, definition: str) -> None:
        self.fault("restore", "before")
        with self._lock:
            if server_id not in self._domains:
                self._save(_Domain(guest=Guest.model_validate_json(definition)))
        self.fault("restore", "after")

    def copy_disk(self, server_id: str, device: str, target: Path, heartbeat: Callable[[], None]) -> None:
        """An empty disk: nothing has ever been written to one of these."""
        self.fault("copy_disk", "before")
        with self._lock:
            if not any(disk.device == device for disk in self._domain(server_id).guest.disks):
                raise NotFound(f"The server has no disk {device}")
        heartbeat()
        disks.remove(target)
        disks.create_blank(target, 2**20)
        self.fault("copy_disk", "after")

    def stop_copy(self, server_id: str, target: Path) -> None:
        self.fault("stop_copy", "before")

    def destroy(self, server_id: str) -> None:
        self.fault("destroy", "before")
        with self._lock:
            self._domains.pop(server_id, None)
            if self._directory is not None:
                self._path(server_id).unlink(missing_ok=True)
        self.fault("destroy", "after")

    def state(self, server_id: str) -> DomainState | None:
        self.fault("state", "before")
        with self._lock:
            domain = self._domains.get(server_id)
            return domain.state() if domain is not None else None

    def domains(self) -> list[DomainState]:
        self.fault("domains", "before")
        with self._lock:
            return [domain.state() for domain in self._domains.values()]

    def serials(self, server_id: str) -> list[str]:
        self.fault("serials", "before")
        with self._lock:
            domain = self._domains.get(server_id)
            return [disk.serial[:20] for disk in domain.guest.disks] if domain is not None else []

    def free_device(self, server_id: str) -> str:
        self.fault("free_device", "before")
        with self._lock:
            used = {disk.device for disk in self._domain(server_id).guest.disks}
        return next(name for name in device_names() if name not in used and name != "vda")

    def guest(self, server_id: str) -> Guest:
        """What a domain was defined as, with the disks it has now: for tests to look at."""
        with self._lock:
            return self._domain(server_id).guest

    def _switch(self, call: str, server_id: str, sources: set[int], target: int, fine: set[int] | None = None) -> None:
        """Change the power state; any that is neither in ``sources`` nor ``fine`` (default all) is refused."""
        self.fault(call, "before")
        with self._lock:
            domain = self._domain(server_id)
            if domain.power_state in sources:
                self._save(domain.model_copy(update={"power_state": target}))
            elif fine is not None and domain.power_state not in fine:
                raise HostRejected(f"The hypervisor could not {call} the server: the domain is not running")
        self.fault(call, "after")

    def _check_devices(self, guest: Guest) -> None:
        with self._lock:
            running = [domain.guest for domain in self._domains.values() if domain.power_state in _ON]
        held = {address for other in running if other.server_id != guest.server_id for address in other.pci}
        if held.intersection(guest.pci):
            raise HostRejected(f"The hypervisor could not start the server: {sorted(held)} are other guests'")

    def _domain(self, server_id: str) -> _Domain:
        domain = self._domains.get(server_id)
        if domain is None:
            raise NotFound(f"Server {server_id} is not defined on this host")
        return domain

    def _save_guest(self, domain: _Domain, **changes: Any) -> None:
        self._save(domain.model_copy(update={"guest": domain.guest.model_copy(update=changes)}))

    def _save(self, domain: _Domain) -> None:
        self._domains[domain.guest.server_id] = domain
        if self._directory is not None:
            path = self._path(domain.guest.server_id)
            part = path.with_suffix(".part")
            part.write_text(domain.model_dump_json())
            part.replace(path)

    def _path(self, server_id: str) -> Path:
        assert self._directory is not None
        return self._directory / f"{server_id}.json"


_ON: set[int] = {PowerState.RUNNING, PowerState.PAUSED}
_ALL: set[int] = {*_ON, PowerState.SHUTDOWN, PowerState.SUSPENDED, PowerState.CRASHED}


def _same(disk: Disk, serial: str) -> bool:
    return disk.serial[:20] == serial[:20]
