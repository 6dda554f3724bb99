"""A server's disk as it is at one moment, as a file: what an image, another host, or a snapshot is to have."""

from pathlib import Path

from temporalio import activity
from temporalio.exceptions import CancelledError

from activities.base import step
from activities.models import Attempt
from infra.compute.attempts import Attempts
from infra.compute.copies import DiskCopies
from infra.compute.driver import Driver
from infra.temporal.history import History


class CopyDisk(History):
    attempt: Attempt
    copy_id: str
    """Id of the image that it is for: it names the file, and is what an undo closes on this host."""
    device: str = "vda"


class CopyVolume(CopyDisk):
    """A volume that a guest has; ``copy_id`` is of this try alone."""

    path: str
    """In the volume service's folder."""


class CopiedDisk(History):
    path: str
    format: str = "qcow2"
    size: int
    """Bytes of the file."""


class DiskCopyActivities:
    def __init__(self, driver: Driver, copies: DiskCopies, attempts: Attempts) -> None:
        self._driver = driver
        self._copies = copies
        self._attempts = attempts

    @step("hypervisor.drop_copy", because="it is an undo, and the end of every copy")
    def drop_copy(self, params: CopyDisk) -> None:
        """Close the copy here, stop what still writes to it, and remove it."""
        path = self._copies.path(params.attempt.server_id, params.attempt.number, params.copy_id)
        with self._attempts.undoing(params.copy_id, 1):
            self._driver.stop_copy(params.attempt.server_id, self._copies.part(path))
            self._copies.remove(path)

    @step("hypervisor.copy_disk", undo=drop_copy)
    def copy_disk(self, params: CopyDisk) -> CopiedDisk:
        """Copy the disk of a guest that goes on, or is off; a repeat finds the copy.

        The server's own lock is not held: a copy may take long, and changes nothing of the guest.

        Raises:
            Unavailable: it broke off.
            HostRejected: there is no room for it here.
            Fenced: the attempt, or the copy, was closed meanwhile; nothing is left of it.
        """
        server_id, number = params.attempt.server_id, params.attempt.number
        path = self._copies.path(server_id, number, params.copy_id)
        with self._attempts.doing(params.copy_id, 1):
            self._go_on(params)
            if not path.exists():
                part = self._copies.part(path)
                self._driver.copy_disk(server_id, params.device, part, lambda: self._go_on(params))
                try:
                    part.replace(path)
                    self._go_on(params)
                except BaseException:
                    self._copies.remove(path)
                    raise
            return CopiedDisk(path=str(path), size=path.stat().st_size)

    @step("hypervisor.drop_volume_copy", because="it is an undo, and the end of every copy")
    def drop_volume_copy(self, params: CopyVolume) -> None:
        """As ``drop_copy``; what was taken in is not there any more."""
        with self._attempts.undoing(params.copy_id, 1):
            self._driver.stop_copy(params.attempt.server_id, Path(params.path))
            Path(params.path).unlink(missing_ok=True)

    @step("hypervisor.copy_volume", undo=drop_volume_copy)
    def copy_volume(self, params: CopyVolume) -> None:
        """As ``copy_disk``, to where the volume service takes it in; a repeat makes it anew."""
        path = Path(params.path)
        with self._attempts.doing(params.copy_id, 1):
            self._go_on(params)
            self._driver.copy_disk(params.attempt.server_id, params.device, path, lambda: self._go_on(params))
            try:
                self._go_on(params)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    def _go_on(self, params: CopyDisk) -> None:
        """Raises where the copy was told to stop, or what it belongs to was closed here."""
        if activity.is_cancelled():
            raise CancelledError("The copy was stopped.")
        self._attempts.check(params.attempt.server_id, params.attempt.number)
        self._attempts.check(params.copy_id, 1)
