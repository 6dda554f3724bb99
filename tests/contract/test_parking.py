"""A guest that is set aside comes back as it was, whatever is repeated or comes late."""

import uuid
from pathlib import Path

import pytest

from infra.compute.attempts import Attempts
from infra.compute.driver import Driver
from infra.compute.fake import FakeDriver
from infra.compute.guests import GuestFiles
from infra.compute.parking import Parking
from infra.domain.host import Inventory
from tests.contract.compute_fixtures import GuestMaker, libvirt_driver, libvirtd

__all__ = ["libvirt_driver", "libvirtd"]

ALL = [
    pytest.param("fake", id="fake"),
    pytest.param("libvirt", id="libvirt", marks=(pytest.mark.libvirt, pytest.mark.root)),
]


class Place:
    """One server on one host, in attempt 1, running."""

    def __init__(self, driver: Driver, directory: Path) -> None:
        self.driver = driver
        self.files = GuestFiles(directory / "instances")
        self.attempts = Attempts(directory / "attempts")
        self.parking = Parking(driver, self.files, self.attempts)
        make = GuestMaker(directory)
        self.guest = make()
        self.server = self.guest.server_id
        self.folder = directory / "instances" / self.server
        self.folder.mkdir()
        driver.define(self.guest)
        driver.start(self.server)
        self.volume = make.disk("vdb")
        driver.attach_disk(self.server, self.volume)

    @property
    def state(self) -> tuple[int, int] | None:
        found = self.driver.state(self.server)
        return None if found is None else (found.attempt, found.power_state)

    def park(self) -> None:
        self.parking.park(self.server, 1, 2, grace_seconds=0)

    def second(self) -> None:
        """The next attempt, made and running."""
        (self.folder / "disk.2").touch()
        self.driver.define(self.guest.model_copy(update={"attempt": 2}))
        self.driver.start(self.server)


@pytest.fixture(params=ALL)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "fake":
        inventory = Inventory(vcpus=4, memory_mb=4096, disk_gb=40)
        return Place(FakeDriver("host-1", inventory, directory=tmp_path / "fake"), tmp_path)
    return Place(request.getfixturevalue("libvirt_driver"), tmp_path)


def test_a_guest_gives_way_and_comes_back_with_the_volumes_that_it_got(place: Place) -> None:
    for _ in range(2):
        place.park()
        assert place.state is None
    place.second()
    assert place.state == (2, 1)
    place.attempts.close(place.server, 2, keep=(1,))
    place.parking.remove_closed(place.server)
    assert place.state is None
    for _ in range(2):
        place.parking.bring_back(place.server, 1, by=2, start=True)
        assert place.state == (1, 1)
    assert place.volume.serial[:20] in place.driver.serials(place.server)
    assert list(place.folder.iterdir()) == []


def test_the_one_that_gave_way_can_go_while_the_next_runs(place: Place) -> None:
    place.park()
    place.second()
    place.attempts.close(place.server, 1)
    place.parking.remove_closed(place.server)
    assert place.state == (2, 1)
    assert [path.name for path in place.folder.iterdir()] == ["disk.2"]
    # Late: there is nothing to bring back any more.
    place.parking.bring_back(place.server, 1, by=2, start=True)
    assert place.state == (2, 1)


def test_a_return_that_comes_late_does_not_disturb_who_it_gave_way_to_since(place: Place) -> None:
    place.parking.park(place.server, 1, 3, grace_seconds=0)
    place.parking.bring_back(place.server, 1, by=2, start=True)
    assert place.state is None
    place.parking.bring_back(place.server, 1, by=3)
    assert place.state == (1, 4)


def test_a_crash_before_the_hypervisor_forgets_it_is_gone_on_from(place: Place) -> None:
    definition = place.driver.definition(place.server)
    place.park()
    place.driver.restore(place.server, definition)
    # As if the worker had died between the two: it comes back, or is set aside again.
    place.park()
    assert place.state is None
    place.driver.restore(place.server, definition)
    place.parking.bring_back(place.server, 1, by=2, start=True)
    assert place.state == (1, 1)


def test_what_was_never_there_is_not_brought_back(place: Place) -> None:
    other = str(uuid.uuid4())
    place.parking.park(other, 1, 2, grace_seconds=0)
    place.parking.bring_back(other, 1, start=True)
    assert place.driver.state(other) is None
