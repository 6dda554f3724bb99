"""The door to a hypervisor: what a compute worker asks of it. Two stand behind it: libvirt and a fake.

Every call is idempotent: it looks whether things are already so, then converges. ``destroy`` and
the detaches take "not there" for success. Calls block; activities run them in threads.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from infra.domain.host import HostReport
from infra.domain.numa import GuestCell


class Disk(BaseModel):
    """A disk of a guest, as files on the host."""

    model_config = ConfigDict(frozen=True)

    path: Path
    format: str
    """``qcow2`` or ``raw``; never probed by the hypervisor."""
    device: str
    """Target in the guest: ``vda``."""
    serial: str
    """What the guest sees as the disk's serial: the volume's id, cut to 20 characters by virtio."""
    read_only: bool = False
    boot_index: int | None = None
    """0 is booted from."""


class Interface(BaseModel):
    """A network interface of a guest; the tap exists in no form before the domain starts."""

    model_config = ConfigDict(frozen=True)

    port_id: str
    mac_address: str
    bridge: str
    tap: str
    mtu: int


class Guest(BaseModel):
    """Everything a hypervisor needs to define one server's domain."""

    model_config = ConfigDict(frozen=True)

    server_id: str
    attempt: int
    name: str
    """The server's name, for people; any characters."""
    domain_name: str
    project_id: str
    user_id: str
    flavor_name: str
    vcpus: int
    memory_mb: int
    numa: tuple[GuestCell, ...] = ()
    """Which CPUs and memory of the host it has; empty: any that are shared."""
    pci: tuple[str, ...] = ()
    """Addresses of the host's PCI devices that it has to itself: ``0000:65:00.0``."""
    disks: tuple[Disk, ...]
    interfaces: tuple[Interface, ...] = ()
    kernel: Path | None = None
    ramdisk: Path | None = None
    kernel_arguments: str | None = None
    console_log: Path
    machine: str = "q35"


class DomainState(BaseModel):
    model_config = ConfigDict(frozen=True)

    server_id: str
    attempt: int
    domain_name: str
    power_state: int
    """As the compute API numbers it: 0 none, 1 running, 3 paused, 4 shut down, 6 crashed, 7 suspended to disk."""


class Driver(Protocol):
    """Errors: ``HostRejected`` when this host can't do it now, ``BuildAborted`` when no host could, ``NotFound`` when
    the server is to be there and is not."""

    def report(self) -> HostReport:
        """Inventory and identity of the hypervisor."""
        ...

    def define(self, guest: Guest) -> None:
        """Make the domain known, off, as described; redefining an equal attempt changes nothing."""
        ...

    def start(self, server_id: str) -> None:
        """Run a defined domain; running already is success. Never creates one that is not defined."""
        ...

    def stop(self, server_id: str, *, grace_seconds: float) -> None:
        """Ask the guest to power off, and cut the power when ``grace_seconds`` have passed (0: at once)."""
        ...

    def reboot(self, server_id: str, *, hard: bool, grace_seconds: float) -> None:
        """Reset the guest (``hard``), or have it power off and start it again, and reset it when the grace has passed.

        A guest that is off is started.
        """
        ...

    def pause(self, server_id: str) -> None: ...

    def unpause(self, server_id: str) -> None: ...

    def suspend(self, server_id: str) -> None:
        """Save the guest's memory to disk and stop it."""
        ...

    def resume(self, server_id: str) -> None: ...

    def attach_disk(self, server_id: str, disk: Disk) -> None: ...

    def detach_disk(self, server_id: str, serial: str, *, timeout_seconds: float) -> None:
        """Take the disk out and return when the guest has let go of it.

        Raises:
            HostRejected: soft, the guest did not let go in time.
        """
        ...

    def attach_interface(self, server_id: str, interface: Interface) -> None: ...

    def detach_interface(self, server_id: str, port_id: str, *, timeout_seconds: float) -> None:
        """As ``detach_disk``; a guest without this interface has let go of it."""
        ...

    def definition(self, server_id: str) -> str:
        """How a guest is defined for its next start, disks that it got since its boot included, for ``restore``."""
        ...

    def restore(self, server_id: str, definition: str) -> None:
        """Make a domain known again, off, exactly as it was; one that is defined is left alone."""
        ...

    def copy_disk(self, server_id: str, device: str, target: Path, heartbeat: Callable[[], None]) -> None:
        """Write what the disk ``device`` holds at one moment to ``target``: qcow2, and whole by itself.

        The guest goes on, or stays off. What an earlier call that was cut off left is taken back first.

        Args:
            heartbeat: called again and again; what it raises ends the copy, of which nothing is left.

        Raises:
            Unavailable: it broke off; it may not the next time.
            HostRejected: there is no room for it.
        """
        ...

    def stop_copy(self, server_id: str, target: Path) -> None:
        """End what still writes to ``target`` for a call that was cut off; nothing does is success."""
        ...

    def destroy(self, server_id: str) -> None:
        """Cut the power and forget the domain; returns when the hypervisor confirms that it is gone."""
        ...

    def state(self, server_id: str) -> DomainState | None: ...

    def domains(self) -> list[DomainState]:
        """All domains of ours on this host, known by their metadata, not by their names."""
        ...

    def serials(self, server_id: str) -> list[str]:
        """Of the disks that the guest has now, or will have when it starts; empty where there is none."""
        ...

    def free_device(self, server_id: str) -> str:
        """The next free disk target of a guest: ``vdb``, ``vdc``, ..."""
        ...
