"""The server: what it is, the states it can be in, and how they show in the compute API.

``status`` is the documented mapping of (vm_state, task_state) to the API's ``status``
(https://docs.openstack.org/api-guide/compute/server_concepts.html); ``transitions.py`` says which verb may start when.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from infra.domain.flavor import Flavor
from infra.domain.move import Move


class VmState(StrEnum):
    BUILDING = "building"
    ACTIVE = "active"
    STOPPED = "stopped"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    RESIZED = "resized"
    """Moved, and waiting for its confirmation."""
    RESCUED = "rescued"
    SHELVED = "shelved"
    """Off, and saved as an image; it leaves its host."""
    SHELVED_OFFLOADED = "shelved_offloaded"
    """On no host, with its ports and volumes."""
    ERROR = "error"
    DELETED = "deleted"


class TaskState(StrEnum):
    SCHEDULING = "scheduling"
    NETWORKING = "networking"
    BLOCK_DEVICE_MAPPING = "block_device_mapping"
    SPAWNING = "spawning"
    POWERING_OFF = "powering-off"
    POWERING_ON = "powering-on"
    REBOOTING = "rebooting"
    REBOOTING_HARD = "rebooting_hard"
    PAUSING = "pausing"
    UNPAUSING = "unpausing"
    SUSPENDING = "suspending"
    RESUMING = "resuming"
    RESIZE_PREP = "resize_prep"
    RESIZE_CONFIRMING = "resize_confirming"
    RESIZE_REVERTING = "resize_reverting"
    REBUILDING = "rebuilding"
    RESCUING = "rescuing"
    UNRESCUING = "unrescuing"
    SHELVING = "shelving"
    SHELVING_OFFLOADING = "shelving_offloading"
    UNSHELVING = "unshelving"
    IMAGE_SNAPSHOT = "image_snapshot"
    IMAGE_BACKUP = "image_backup"
    DELETING = "deleting"


class PowerState(int):
    """``OS-EXT-STS:power_state`` as the compute API numbers it."""

    NOSTATE = 0
    RUNNING = 1
    PAUSED = 3
    SHUTDOWN = 4
    CRASHED = 6
    SUSPENDED = 7


class Verb(StrEnum):
    STOP = "stop"
    START = "start"
    REBOOT_SOFT = "reboot"
    REBOOT_HARD = "reboot_hard"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    SUSPEND = "suspend"
    RESUME = "resume"
    RESIZE = "resize"
    MIGRATE = "migrate"
    REBUILD = "rebuild"
    EVACUATE = "evacuate"
    CONFIRM_RESIZE = "confirmResize"
    REVERT_RESIZE = "revertResize"
    RESCUE = "rescue"
    UNRESCUE = "unrescue"
    SHELVE = "shelve"
    SHELVE_OFFLOAD = "shelveOffload"
    UNSHELVE = "unshelve"
    CREATE_IMAGE = "createImage"
    CREATE_BACKUP = "createBackup"


_ANYWHERE: dict[TaskState | None, str] = {
    TaskState.REBOOTING_HARD: "HARD_REBOOT",
    TaskState.RESIZE_PREP: "RESIZE",
    TaskState.REBUILDING: "REBUILD",
}
_STATUS: dict[VmState, dict[TaskState | None, str]] = {
    VmState.ACTIVE: {None: "ACTIVE", TaskState.REBOOTING: "REBOOT", **_ANYWHERE},
    VmState.BUILDING: {None: "BUILD"},
    VmState.STOPPED: {None: "SHUTOFF", **_ANYWHERE},
    VmState.PAUSED: {None: "PAUSED", **_ANYWHERE},
    VmState.SUSPENDED: {None: "SUSPENDED", **_ANYWHERE},
    VmState.RESIZED: {None: "VERIFY_RESIZE", TaskState.RESIZE_REVERTING: "REVERT_RESIZE"},
    VmState.RESCUED: {None: "RESCUE"},
    VmState.SHELVED: {None: "SHELVED"},
    VmState.SHELVED_OFFLOADED: {None: "SHELVED_OFFLOADED"},
    VmState.ERROR: {None: "ERROR", **_ANYWHERE},
    VmState.DELETED: {None: "DELETED"},
}


def status(vm_state: VmState, task_state: TaskState | None) -> str:
    """The ``status`` that clients see for a pair of states."""
    by_task = _STATUS[vm_state]
    return by_task.get(task_state, by_task[None])


class Fault(BaseModel):
    """Why a server is in ERROR, as ``server.fault``: the first cause; ``details`` is the whole chain."""

    model_config = ConfigDict(frozen=True)

    code: int
    message: str
    created: datetime
    details: str | None = None


class RequestedNetwork(BaseModel):
    """One entry of ``networks`` of a boot request, resolved: either a port that exists or a network."""

    model_config = ConfigDict(frozen=True)

    network_id: str
    port_id: str
    """The id of the port to use; the workflow's own where ``created`` is true."""
    created: bool = True
    """False: the user's own port, which is detached and kept when the server goes."""
    fixed_ip: str | None = None
    tag: str | None = None
    attachment_id: str | None = None
    """Of an interface that came after the boot: it is what hosts and services know this one of several tries by."""


class BlockDevice(BaseModel):
    """One entry of ``block_device_mapping_v2``, resolved."""

    model_config = ConfigDict(frozen=True)

    volume_id: str | None = None
    boot_index: int | None = None
    source_type: str = "volume"
    """``volume``, ``image`` (a new volume from an image), ``blank`` or ``snapshot``; ``local`` for the root disk."""
    destination_type: str = "volume"
    image_id: str | None = None
    snapshot_id: str | None = None
    size_gb: int | None = None
    delete_on_termination: bool = False
    device_name: str | None = None
    created: bool = False
    """True: the volume is made by this boot and is removed when it is undone."""


class Server(BaseModel):
    """A server as the services and views see it. Times are UTC."""

    model_config = ConfigDict(frozen=True)

    id: str
    project_id: str
    user_id: str
    name: str
    hostname: str
    flavor: Flavor
    image_id: str | None
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    key_name: str | None = None
    vm_state: VmState
    task_state: TaskState | None = None
    op: str | None = None
    """Request id of the verb that holds the server; every write of that verb is conditional on it."""
    power_state: int = 0
    host: str | None = None
    attempt: int = 0
    last_attempt: int = 0
    """The highest number that a move has given to an attempt."""
    move: Move | None = None
    reservation_id: str
    launch_index: int = 0
    availability_zone: str | None = None
    config_drive: bool = False
    metadata: dict[str, str] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()
    description: str | None = None
    locked: bool = False
    locked_reason: str | None = None
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    disk_config: str = "MANUAL"
    security_groups: tuple[str, ...] = ()
    networks: tuple[RequestedNetwork, ...] = ()
    block_devices: tuple[BlockDevice, ...] = ()
    scheduler_hints: dict[str, Any] = Field(default_factory=dict)
    root_device_name: str = "/dev/vda"
    shelved_image_id: str | None = None
    """Of the image that it was saved as when it was shelved."""
    progress: int = 0
    fault: Fault | None = None
    created_at: datetime
    updated_at: datetime
    launched_at: datetime | None = None
    terminated_at: datetime | None = None
    deleted_at: datetime | None = None
    stuck_undo: str | None = None
    """What an undo could not yet do, in one sentence; None when nothing is stuck."""

    @property
    def status(self) -> str:
        return status(self.vm_state, self.task_state)

    @property
    def moved(self) -> "Server":
        """The server as its move makes it; as it is, where none is under way."""
        if self.move is None or self.move.done:
            return self
        changes = dict(self.move.rebuilt) if self.move.rebuilt is not None else {}
        changes |= dict(self.move.rescue) if self.move.rescue is not None else {}
        changes |= {"availability_zone": self.move.new_zone} if self.move.rezoned else {}
        return self.model_copy(update={**changes, "flavor": self.move.new_flavor})

    @property
    def kept(self) -> tuple[str, int] | None:
        """Host and number of the attempt that stays until a move is confirmed, or a rescue is over."""
        return (self.move.host, self.move.attempt) if self.move is not None and self.move.done else None

    @property
    def images(self) -> tuple[str, ...]:
        """Ids of all that its guests are made from: root disk, kernel, ramdisk; and those of its rescue."""
        return tuple(dict.fromkeys((*self.own_images, *self.rescue_images)))

    @property
    def own_images(self) -> tuple[str, ...]:
        """Those of them that it has without a rescue."""
        return tuple(image for image in (self.image_id, self.kernel_id, self.ramdisk_id) if image)

    @property
    def rescue_images(self) -> tuple[str, ...]:
        """Ids of what it is rescued with."""
        rescue = self.move.rescue if self.move is not None and self.move.done else None
        return tuple(image for image in dict(rescue).values() if image) if rescue is not None else ()

    @property
    def instance_name(self) -> str:
        """The libvirt domain's name."""
        return f"kn-{self.id}"
