"""The guest that stays while its server moves: set aside, brought back, and its disk carried over to the next attempt.

All of it is done in the next attempt's name, on the host of the one that stays (``Attempt.keeps``): closing the next
attempt there stops what still comes of it, and leaves the other open.
"""

from temporalio import activity
from temporalio.exceptions import CancelledError

from activities.base import step
from activities.hypervisor import SOFT_SECONDS
from activities.models import Attempt
from infra.compute.attempts import Attempts
from infra.compute.driver import Driver
from infra.compute.guests import GuestFiles
from infra.compute.parking import Parking
from infra.temporal.history import History


class ParkGuest(History):
    attempt: Attempt
    start: bool = False
    """Whether it runs when it is back."""


class CarryDisk(History):
    attempt: Attempt
    disk_gb: int
    """0: as large as it is."""


class ParkActivities:
    def __init__(self, driver: Driver, files: GuestFiles, attempts: Attempts) -> None:
        self._files = files
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

    @step("hypervisor.discard_disk", because="it is an undo")
    def discard_disk(self, params: CarryDisk) -> None:
        attempt = params.attempt
        with self._attempts.undoing(attempt.server_id, attempt.number, attempt.kept):
            self._parking.remove_closed(attempt.server_id)

    @step("hypervisor.carry_disk", undo=discard_disk)
    def carry_disk(self, params: CarryDisk) -> None:
        """Make the next attempt's root disk of what the one that stays has on its own."""
        attempt = params.attempt

        def beat() -> None:
            if activity.is_cancelled():
                raise CancelledError("The move was stopped while the disk was copied.")
            self._attempts.check(attempt.server_id, attempt.number)

        with self._attempts.doing(attempt.server_id, attempt.number):
            self._files.carry(attempt.server_id, attempt.keeps, attempt.number, params.disk_gb, beat)
            if self._attempts.is_closed(attempt.server_id, attempt.number):
                self._parking.remove_closed(attempt.server_id)
                self._attempts.check(attempt.server_id, attempt.number)
