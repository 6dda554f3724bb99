"""The guest that stays while its server moves: set aside, brought back, and its disk carried over to the next attempt.

All of it is done in the next attempt's name; on the host of the one that stays (``Attempt.keeps``) closing the next
attempt stops what still comes of it, and leaves the other open.
"""

from collections.abc import Callable
from pathlib import Path

from temporalio import activity
from temporalio.exceptions import CancelledError

from activities.base import step
from activities.disk_copies import CopiedDisk
from activities.hypervisor import SOFT_SECONDS
from activities.models import Attempt
from infra.compute.attempts import Attempts
from infra.compute.copies import DiskCopies
from infra.compute.driver import Driver
from infra.compute.guests import GuestFiles
from infra.compute.parking import Parking
from infra.image import conversion
from infra.temporal.history import History


class ParkGuest(History):
    attempt: Attempt
    start: bool = False
    """Whether it runs when it is back."""


class HaltGuest(History):
    """A guest that is off while its server is shelved."""

    attempt: Attempt
    copy_id: str
    """Of what it is off for: it is what an undo closes on this host."""


class CarryDisk(History):
    attempt: Attempt
    disk_gb: int
    """0: as large as it is."""
    path: str = ""
    """Of the copy on this host, where the attempt that stays is on another."""


class FlattenDisk(History):
    attempt: Attempt
    copy_id: str
    """Id of the image that it travels as."""


class ParkActivities:
    def __init__(self, driver: Driver, files: GuestFiles, copies: DiskCopies, attempts: Attempts) -> None:
        self._driver = driver
        self._files = files
        self._copies = copies
        self._attempts = attempts
        self._parking = Parking(driver, files, attempts)

    @step("hypervisor.unpark", because="it is an undo, and how a server comes back")
    def unpark(self, params: ParkGuest) -> None:
        """Close the next attempt and leave nothing of it here; then the guest that stayed is there again."""
        attempt = params.attempt
        with self._attempts.undoing(attempt.server_id, attempt.number, attempt.kept):
            self._parking.remove_closed(attempt.server_id)
            self._parking.bring_back(attempt.server_id, attempt.keeps, by=attempt.number, start=params.start)

    @step("hypervisor.park", undo=unpark)
    def park(self, params: ParkGuest) -> None:
        """Power the guest off, as its owner would, and have the hypervisor forget it; its files stay."""
        attempt = params.attempt
        with self._attempts.doing(attempt.server_id, attempt.number):
            self._parking.park(attempt.server_id, attempt.keeps, attempt.number, grace_seconds=SOFT_SECONDS)

    @step("hypervisor.wake", because="it is an undo")
    def wake(self, params: HaltGuest) -> None:
        """The guest runs again; one that is not there any more, or is another attempt's, is left alone."""
        server_id, number = params.attempt.server_id, params.attempt.number
        with self._attempts.undoing(params.copy_id, 1), self._attempts.lock(server_id):
            state = self._driver.state(server_id)
            if state is not None and state.attempt == number and not self._attempts.is_closed(server_id, number):
                self._driver.start(server_id)

    @step("hypervisor.halt", undo=wake)
    def halt(self, params: HaltGuest) -> None:
        """Power the guest off, as its owner would."""
        attempt = params.attempt
        with self._attempts.doing(attempt.server_id, attempt.number):
            self._attempts.check(params.copy_id, 1)
            self._driver.stop(attempt.server_id, grace_seconds=SOFT_SECONDS)

    @step("hypervisor.discard_disk", because="it is an undo")
    def discard_disk(self, params: CarryDisk) -> None:
        attempt = params.attempt
        with self._attempts.undoing(attempt.server_id, attempt.number, attempt.kept):
            self._parking.remove_closed(attempt.server_id)

    @step("hypervisor.carry_disk", undo=discard_disk)
    def carry_disk(self, params: CarryDisk) -> None:
        """Make the next attempt's root disk of the one that stays on this host, or of a copy that came to it."""
        attempt = params.attempt
        kept = self._files.disk(attempt.server_id, attempt.keeps)
        with self._attempts.doing(attempt.server_id, attempt.number):
            source = Path(params.path) if params.path else kept
            self._files.carry(attempt.server_id, attempt.number, source, params.disk_gb, self._beat(attempt))
            if self._attempts.is_closed(attempt.server_id, attempt.number):
                self._parking.remove_closed(attempt.server_id)
                self._attempts.check(attempt.server_id, attempt.number)

    @step("hypervisor.drop_flat", because="it is an undo, and the end of every copy")
    def drop_flat(self, params: FlattenDisk) -> None:
        """Close the next attempt on the host that it leaves: nothing more is done there in its name."""
        attempt = params.attempt
        with self._attempts.undoing(attempt.server_id, attempt.number, attempt.kept):
            self._copies.remove(self._copies.path(attempt.server_id, attempt.number, params.copy_id))

    @step("hypervisor.flatten_disk", undo=drop_flat)
    def flatten_disk(self, params: FlattenDisk) -> CopiedDisk:
        """Copy the disk of the attempt that stays, with all that it is an overlay of, to a file that can travel."""
        attempt = params.attempt
        path = self._copies.path(attempt.server_id, attempt.number, params.copy_id)
        with self._attempts.doing(attempt.server_id, attempt.number):
            if not path.exists():
                source, part = self._files.disk(attempt.server_id, attempt.keeps), self._copies.part(path)
                try:
                    # A disk is its owner's secret.
                    part.touch(mode=0o600)
                    arguments = ["convert", "-f", "qcow2", "-O", "qcow2", str(source), str(part)]
                    conversion.run(arguments, self._beat(attempt))
                    part.replace(path)
                    self._attempts.check(attempt.server_id, attempt.number)
                except BaseException:
                    self._copies.remove(path)
                    raise
            return CopiedDisk(path=str(path), size=path.stat().st_size)

    def _beat(self, attempt: Attempt) -> Callable[[], None]:
        """Ends what takes long where it was told to stop, or its attempt was closed."""

        def beat() -> None:
            if activity.is_cancelled():
                raise CancelledError("The move was stopped while the disk was copied.")
            self._attempts.check(attempt.server_id, attempt.number)

        return beat
