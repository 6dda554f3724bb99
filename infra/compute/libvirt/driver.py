"""The hypervisor driver on libvirt.

Domains are defined, then started, and never created transient: a start still queued in libvirtd when its server
was destroyed finds no definition. A server's id is its domain's uuid; the attempt stands in the metadata.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import libvirt

from infra.compute.driver import Disk, DomainState, Guest, Interface
from infra.compute.libvirt import disk_copy, domain_xml, hotplug, inventory, priority
from infra.compute.libvirt.connection import Connection
from infra.compute.libvirt.errors import means, translated
from infra.compute.libvirt.probe import Accelerator, choose
from infra.domain.errors import HostRejected, NotFound
from infra.domain.host import HostReport
from infra.domain.server import PowerState
from infra.settings import Settings

_POWER_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: PowerState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_SHUTOFF: PowerState.SHUTDOWN,
    libvirt.VIR_DOMAIN_CRASHED: PowerState.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: PowerState.SUSPENDED,
}
_FORGET = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
_POLL_SECONDS = 0.1
# A guest that is still booting misses the button: it is pressed again.
_PRESS_SECONDS = 10.0


class LibvirtDriver:
    """See ``infra.compute.driver.Driver``."""

    def __init__(self, connection: Connection, settings: Settings, accelerator: Accelerator) -> None:
        self._connection = connection
        self._settings = settings
        self._accelerator = accelerator
        self._inventory = inventory.HostFacts(connection, settings, accelerator)
        self._copying: dict[str, threading.Lock] = {}

    def report(self) -> HostReport:
        with translated("describe the host"):
            return self._inventory.report()

    def define(self, guest: Guest) -> None:
        with translated("define the server"):
            existing = self._find(guest.server_id)
            if existing is not None:
                attempt = _attempt(existing)
                if attempt == guest.attempt:
                    return
                if existing.isActive():
                    raise HostRejected(f"Attempt {attempt} of the server still runs on this host", soft=True)
            self._connection.get().defineXML(domain_xml.render(guest, self._accelerator.kind, self._inventory.confined))

    def start(self, server_id: str) -> None:
        with translated("start the server"):
            domain = self._domain(server_id)
            try:
                _give_power(domain)
            except libvirt.libvirtError as error:
                # Of the system, where it ended before libvirt could speak to it.
                if not means(error, libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_SYSTEM_ERROR):
                    raise
                # QEMU ended in its start: killed, say for want of memory. If the guest is what is wrong, it ends again.
                _give_power(domain)
            priority.lower(self._connection.uri, domain.name(), self._settings.host.guest_nice)

    def stop(self, server_id: str, *, grace_seconds: float) -> None:
        with translated("stop the server"):
            domain = self._domain(server_id)
            if domain.hasManagedSaveImage():
                domain.managedSaveRemove()
            if not _ask_to_power_off(domain, grace_seconds):
                _cut_power(domain)

    def reboot(self, server_id: str, *, hard: bool, grace_seconds: float) -> None:
        with translated("reboot the server"):
            domain = self._domain(server_id)
            if domain.isActive() and (hard or not _ask_to_power_off(domain, grace_seconds)):
                if _power_state(domain) == PowerState.PAUSED:
                    domain.resume()
                domain.reset()
                return
        # The guest has powered itself off, now or in an earlier try of this call.
        self.start(server_id)

    def pause(self, server_id: str) -> None:
        with translated("pause the server"):
            domain = self._domain(server_id)
            if _power_state(domain) != PowerState.PAUSED:
                domain.suspend()

    def unpause(self, server_id: str) -> None:
        with translated("unpause the server"):
            domain = self._domain(server_id)
            if _power_state(domain) != PowerState.RUNNING:
                domain.resume()

    def suspend(self, server_id: str) -> None:
        with translated("suspend the server"):
            domain = self._domain(server_id)
            if domain.isActive() or not domain.hasManagedSaveImage():
                domain.managedSave()

    def resume(self, server_id: str) -> None:
        self.start(server_id)

    def attach_disk(self, server_id: str, disk: Disk) -> None:
        with translated("attach the disk"):
            hotplug.attach_disk(self._domain(server_id), disk)

    def detach_disk(self, server_id: str, serial: str, *, timeout_seconds: float) -> None:
        with translated("detach the disk"):
            domain = self._find(server_id)
            if domain is not None:
                hotplug.detach_disk(domain, serial, timeout_seconds)

    def attach_interface(self, server_id: str, interface: Interface) -> None:
        with translated("attach the interface"):
            hotplug.attach_interface(self._domain(server_id), interface)

    def detach_interface(self, server_id: str, port_id: str, *, timeout_seconds: float) -> None:
        with translated("detach the interface"):
            domain = self._find(server_id)
            if domain is not None:
                hotplug.detach_interface(domain, port_id, timeout_seconds)

    def serials(self, server_id: str) -> list[str]:
        with translated("list the server's disks"):
            domain = self._find(server_id)
            return hotplug.serials(domain) if domain is not None else []

    def free_device(self, server_id: str) -> str:
        with translated("list the server's disks"):
            return hotplug.free_device(self._domain(server_id))

    def definition(self, server_id: str) -> str:
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
        with translated("describe the server"):
            return str(self._domain(server_id).XMLDesc(flags))

    def restore(self, server_id: str, definition: str) -> None:
        with translated("define the server"):
            if self._find(server_id) is None:
                self._connection.get().defineXML(definition)

    def copy_disk(self, server_id: str, device: str, target: Path, heartbeat: Callable[[], None]) -> None:
        with translated("copy the disk"), self._turn(server_id, heartbeat):
            disk_copy.copy(self._domain(server_id), device, target, heartbeat)

    @contextmanager
    def _turn(self, server_id: str, heartbeat: Callable[[], None]) -> Iterator[None]:
        """A domain has one job at a time, and tells once how that ended."""
        turn = self._copying.setdefault(server_id, threading.Lock())
        while not turn.acquire(timeout=_POLL_SECONDS):
            heartbeat()
        try:
            yield
        finally:
            turn.release()

    def stop_copy(self, server_id: str, target: Path) -> None:
        with translated("stop copying the disk"):
            domain = self._find(server_id)
            if domain is not None:
                disk_copy.stop(domain, target)

    def destroy(self, server_id: str) -> None:
        with translated("destroy the server"):
            domain = self._find(server_id)
            if domain is None:
                return
            _cut_power(domain)
            try:
                domain.undefineFlags(_FORGET)
            except libvirt.libvirtError as error:
                if not means(error, libvirt.VIR_ERR_NO_DOMAIN):
                    raise
            self._copying.pop(server_id, None)
            if self._find(server_id) is not None:
                raise HostRejected("The hypervisor still has the server after it was destroyed", soft=True)

    def state(self, server_id: str) -> DomainState | None:
        with translated("look the server up"):
            domain = self._find(server_id)
            return None if domain is None else _state(domain)

    def domains(self) -> list[DomainState]:
        with translated("list its servers"):
            states = [_state(domain) for domain in self._connection.get().listAllDomains()]
            return [state for state in states if state is not None]

    def _find(self, server_id: str) -> libvirt.virDomain | None:
        try:
            return self._connection.get().lookupByUUIDString(server_id)
        except libvirt.libvirtError as error:
            if means(error, libvirt.VIR_ERR_NO_DOMAIN):
                return None
            raise

    def _domain(self, server_id: str) -> libvirt.virDomain:
        domain = self._find(server_id)
        if domain is None:
            raise NotFound(f"Server {server_id} is not defined on this host")
        return domain


def connect(settings: Settings) -> LibvirtDriver:
    """The driver of this host, its accelerator proven by booting a probe guest.

    Raises:
        HostRejected: libvirtd can't be reached, or no guest boots under any accelerator.
    """
    connection = Connection(settings.host.libvirt_uri)
    return LibvirtDriver(connection, settings, choose(connection, settings.host.accelerator, settings.host_directory))


def _attempt(domain: libvirt.virDomain) -> int | None:
    """The attempt a domain belongs to; None when it is none of ours or has gone meanwhile."""
    kind, flags = libvirt.VIR_DOMAIN_METADATA_ELEMENT, libvirt.VIR_DOMAIN_AFFECT_CURRENT
    try:
        return domain_xml.attempt_of(domain.metadata(kind, domain_xml.NAMESPACE, flags))
    except libvirt.libvirtError as error:
        if means(error, libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_NO_DOMAIN):
            return None
        raise


def _power_state(domain: libvirt.virDomain) -> int:
    return _POWER_STATES.get(domain.state()[0], PowerState.NOSTATE)


def _state(domain: libvirt.virDomain) -> DomainState | None:
    attempt = _attempt(domain)
    if attempt is None:
        return None
    try:
        power = _power_state(domain)
        if power == PowerState.SHUTDOWN and domain.hasManagedSaveImage():
            power = PowerState.SUSPENDED
    except libvirt.libvirtError as error:
        if means(error, libvirt.VIR_ERR_NO_DOMAIN):
            return None
        raise
    return DomainState(server_id=domain.UUIDString(), attempt=attempt, domain_name=domain.name(), power_state=power)


def _ask_to_power_off(domain: libvirt.virDomain, grace_seconds: float) -> bool:
    """Press the guest's power button and wait; True when it has powered off within the grace."""
    end = time.monotonic() + grace_seconds
    press_at = 0.0
    while domain.isActive():
        now = time.monotonic()
        if now >= end or _power_state(domain) == PowerState.PAUSED:
            return False
        if now >= press_at:
            try:
                domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
            except libvirt.libvirtError as error:
                if not means(error, libvirt.VIR_ERR_OPERATION_INVALID):
                    raise
            press_at = now + _PRESS_SECONDS
        time.sleep(_POLL_SECONDS)
    return True


def _give_power(domain: libvirt.virDomain) -> None:
    try:
        domain.create()
    except libvirt.libvirtError as error:
        if not (means(error, libvirt.VIR_ERR_OPERATION_INVALID) and domain.isActive()):
            raise


def _cut_power(domain: libvirt.virDomain) -> None:
    try:
        domain.destroy()
    except libvirt.libvirtError as error:
        if not means(error, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
            raise
