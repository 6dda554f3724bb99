"""Step 11 and every later effect on the guest, by the host's driver.

All of them hold the server's lock on this host, and check before each effect and after the last that their attempt is
still open; what a closed attempt made is removed by whoever notices first.
"""

import base64
import binascii
from typing import Any

from activities.base import step
from activities.images import FetchedImage
from activities.models import Attempt, Instance
from activities.networks import PlugResult
from activities.volumes import AttachedVolume
from infra.compute.attempts import EVERY, Attempts
from infra.compute.driver import Disk, Driver
from infra.compute.guests import GuestFiles, interface
from infra.compute.instance import BootSource, InstanceSpec, NicPlace, VolumePlace
from infra.compute.parking import Parking
from infra.domain.errors import BuildAborted, Conflict, DiskLost, Fenced, HostRejected, Unavailable
from infra.domain.server import VmState
from infra.rest.client import RestClient
from infra.temporal.history import History

SOFT_SECONDS = 60.0
"""What a guest gets to react to its power button before the power is cut (Nova's shutdown_timeout)."""
RELEASE_SECONDS = 30.0
"""What a guest gets to let go of a disk."""


class SpawnGuest(History):
    attempt: Attempt
    instance: Instance
    images: tuple[FetchedImage, ...] = ()
    nics: tuple[PlugResult, ...] = ()
    volumes: tuple[AttachedVolume, ...] = ()
    start: bool = True
    """False: the server is off, and stays so."""
    rescue: bool = False
    """Its second disk is that of the attempt that stays."""


class SpawnedGuest(History):
    power_state: int
    devices: dict[str, str] = {}
    """Volume id to device in the guest: ``/dev/vdb``."""


class DestroyGuest(History):
    attempt: Attempt
    every_attempt: bool = False


class PowerGuest(History):
    attempt: Attempt
    verb: str
    vm_state: str


class ReadConsole(History):
    server_id: str
    lines: int | None = None


class ConsoleText(History):
    text: str


class ReadState(History):
    server_id: str


class SeenState(History):
    """What the hypervisor has of a server; 0 where it has none."""

    power_state: int = 0


class AttachDisk(History):
    attempt: Attempt
    attachment_id: str
    volume: AttachedVolume


class AttachedDisk(History):
    device: str


class GuestInterface(History):
    attempt: Attempt
    attachment_id: str
    port_id: str
    nic: PlugResult | None = None
    """As it is plugged; None for a detach."""


class HypervisorActivities:
    def __init__(self, driver: Driver, files: GuestFiles, attempts: Attempts, rest: RestClient) -> None:
        self._driver = driver
        self._files = files
        self._attempts = attempts
        self._parking = Parking(driver, files, attempts)
        self._rest = rest

    @step("hypervisor.destroy", because="it is an undo")
    def destroy(self, params: SpawnGuest) -> None:
        """Close the attempt, then cut the guest's power, forget its domain and delete its files."""
        self._remove(params.attempt, params.attempt.number)

    @step("hypervisor.spawn", undo=destroy)
    def spawn(self, params: SpawnGuest) -> SpawnedGuest:
        """
        Raises:
            HostRejected: this host could not do it; another may.
            BuildAborted: no host could.
            Fenced: the attempt was closed meanwhile; nothing is left of it.
        """
        server_id, number = params.attempt.server_id, params.attempt.number
        user_data = self._user_data(params.instance)
        with self._attempts.doing(server_id, number):
            guest, devices = self._files.build(
                _spec(params), _sources(params), _places(params), _volumes(params), user_data
            )
            self._check(server_id, number)
            self._driver.define(guest)
            self._check(server_id, number)
            if params.start:
                self._driver.start(server_id)
                self._check(server_id, number)
        return SpawnedGuest(power_state=1 if params.start else 4, devices=devices)

    @step("hypervisor.rebuild", because="it makes the guest what its row says")
    def rebuild(self, params: SpawnGuest) -> None:
        """Define a guest anew, off, whose domain was taken away by hand, on the disk that it had.

        Raises:
            DiskLost: the disk is not there any more.
            Fenced: the attempt was closed meanwhile; nothing is left of it.
        """
        server_id, number = params.attempt.server_id, params.attempt.number
        user_data = self._user_data(params.instance)
        with self._attempts.doing(server_id, number):
            if params.instance.image_id is not None and not self._files.has_disk(server_id, number):
                raise DiskLost(f"The disk of instance {server_id} is not on its host any more.")
            # One that is being detached may be another server's by the time that the guest starts.
            kept = [one for one in params.volumes if not self._attempts.is_closed(one.attachment_id, 1)]
            params = params.model_copy(update={"volumes": tuple(kept)})
            guest, _ = self._files.build(_spec(params), _sources(params), _places(params), _volumes(params), user_data)
            self._driver.define(guest)
            self._check(server_id, number)

    @step("hypervisor.remove", because="a delete is never undone")
    def remove(self, params: DestroyGuest) -> None:
        """Close every attempt at the server on this host, and leave nothing of its guest."""
        self._remove(params.attempt, EVERY if params.every_attempt else params.attempt.number)

    @step("hypervisor.power", because="the power state it leads to is reported, not taken back")
    def power(self, params: PowerGuest) -> None:
        server_id, number = params.attempt.server_id, params.attempt.number
        with self._attempts.doing(server_id, number):
            if params.verb == "reboot_hard" and params.vm_state == VmState.ERROR:
                # A move that could not be undone to its end has left it aside.
                self._parking.bring_back(server_id, number)
            self._power(server_id, params.verb, VmState(params.vm_state))

    def _power(self, server_id: str, verb: str, vm_state: VmState) -> None:
        driver = self._driver
        match verb:
            case "stop":
                driver.stop(server_id, grace_seconds=SOFT_SECONDS)
            case "start":
                driver.start(server_id)
            case "reboot":
                driver.reboot(server_id, hard=False, grace_seconds=SOFT_SECONDS)
            case "reboot_hard":
                if vm_state is not VmState.ACTIVE:
                    driver.stop(server_id, grace_seconds=0)
                driver.start(server_id)
                driver.reboot(server_id, hard=True, grace_seconds=0)
            case "pause":
                driver.pause(server_id)
            case "unpause":
                driver.unpause(server_id)
            case "suspend":
                driver.suspend(server_id)
            case "resume":
                driver.resume(server_id)
            case _:
                raise Conflict(f"This host's worker does not know the verb {verb}: upgrade it.")

    @step("hypervisor.read_console", because="it reads")
    def read_console(self, params: ReadConsole) -> ConsoleText:
        """The end of the guest's console log, at most 100 KiB; control characters stay as the guest wrote them."""
        return ConsoleText(text=self._files.console(params.server_id, params.lines))

    @step("hypervisor.read_state", because="it reads")
    def read_state(self, params: ReadState) -> SeenState:
        """The guest's power state, after whatever still works on it here."""
        with self._attempts.lock(params.server_id):
            state = self._driver.state(params.server_id)
        return SeenState(power_state=state.power_state if state is not None else 0)

    @step("hypervisor.detach_disk", because="it is an undo, and the effect of a detach")
    def detach_disk(self, params: AttachDisk) -> None:
        """Close the attachment, then take the disk out of the guest; returns when the guest has let go of it.

        Raises Unavailable while it holds on: a guest that is still booting lets go when it is up, so it is asked again.
        """
        server_id = params.attempt.server_id
        self._attempts.close(params.attachment_id, 1)
        with self._attempts.lock(server_id):
            if self._driver.state(server_id) is None:
                return
            serial = self._files.serial(params.volume.volume_id)
            try:
                self._driver.detach_disk(server_id, serial, timeout_seconds=RELEASE_SECONDS)
            except HostRejected as refused:
                raise Unavailable(refused.message) from refused

    @step("hypervisor.attach_disk", undo=detach_disk)
    def attach_disk(self, params: AttachDisk) -> AttachedDisk:
        server_id = params.attempt.server_id
        with self._attempts.doing(server_id, params.attempt.number):
            self._attempts.check(params.attachment_id, 1)
            target = (params.volume.device or "").removeprefix("/dev/") or self._driver.free_device(server_id)
            disk: Disk = self._files.volume_disk(
                VolumePlace(**params.volume.model_dump(include=set(VolumePlace.model_fields))), target
            )
            self._driver.attach_disk(server_id, disk)
        return AttachedDisk(device=f"/dev/{disk.device}")

    @step("hypervisor.detach_interface", because="it is an undo, and the effect of a detach")
    def detach_interface(self, params: GuestInterface) -> None:
        """As ``detach_disk``, of an interface."""
        server_id = params.attempt.server_id
        self._attempts.close(params.attachment_id, 1)
        with self._attempts.lock(server_id):
            if self._driver.state(server_id) is None:
                return
            try:
                self._driver.detach_interface(server_id, params.port_id, timeout_seconds=RELEASE_SECONDS)
            except HostRejected as refused:
                raise Unavailable(refused.message) from refused
            self._files.tell_nics(server_id, params.attempt.number, params.port_id, None)

    @step("hypervisor.attach_interface", undo=detach_interface)
    def attach_interface(self, params: GuestInterface) -> None:
        server_id, number = params.attempt.server_id, params.attempt.number
        assert params.nic is not None
        place = NicPlace(**params.nic.model_dump())
        with self._attempts.doing(server_id, number):
            self._attempts.check(params.attachment_id, 1)
            self._driver.attach_interface(server_id, interface(place))
            self._files.tell_nics(server_id, number, params.port_id, place.nic)

    def _check(self, server_id: str, number: int) -> None:
        """After an effect: a closed attempt cleans up what it made. Called with the server's lock held."""
        if self._attempts.is_closed(server_id, number):
            self._parking.remove_closed(server_id)
            raise Fenced(f"Attempt {number} at server {server_id} was closed while it ran.")

    def _remove(self, attempt: Attempt, number: int) -> None:
        with self._attempts.undoing(attempt.server_id, number, attempt.kept):
            self._parking.remove_closed(attempt.server_id)

    def _user_data(self, instance: Instance) -> bytes | None:
        if not instance.has_user_data:
            return None
        path = f"/compute/internal/servers/{instance.server_id}/user-data"
        answer: dict[str, Any] = self._rest.blocking(self._rest.request("GET", path))
        try:
            return base64.b64decode(answer["user_data"], validate=True)
        except binascii.Error:
            raise BuildAborted("The user data is not base64.", code=400) from None


def _spec(params: SpawnGuest) -> InstanceSpec:
    spec = InstanceSpec(attempt=params.attempt.number, **params.instance.model_dump())
    return spec.model_copy(update={"rescues": params.attempt.keeps}) if params.rescue else spec


def _sources(params: SpawnGuest) -> dict[str, BootSource]:
    return {image.image_id: BootSource(**image.model_dump()) for image in params.images if image.path}


def _places(params: SpawnGuest) -> list[NicPlace]:
    return [NicPlace(**nic.model_dump()) for nic in params.nics]


def _volumes(params: SpawnGuest) -> list[VolumePlace]:
    fields = set(VolumePlace.model_fields)
    return [VolumePlace(**volume.model_dump(include=fields)) for volume in params.volumes]
