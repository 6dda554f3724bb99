"""A server that moves: to another flavor, host or image, as a new attempt beside the one that it has.

The attempt it has stays as it is until the move is done, for a resize until it is confirmed; what is made is the next.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field

from infra.domain.errors import BadRequest
from infra.domain.flavor import Flavor


class MoveKind(StrEnum):
    RESIZE = "resize"
    MIGRATE = "migrate"
    REBUILD = "rebuild"
    EVACUATE = "evacuate"
    RESCUE = "rescue"
    UNSHELVE = "unshelve"


class Rebuilt(BaseModel):
    """What of a server a rebuild makes anew."""

    model_config = ConfigDict(frozen=True)

    name: str
    hostname: str
    image_id: str | None
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    key_name: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    description: str | None = None
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    disk_config: str = "MANUAL"


class Rescue(BaseModel):
    """What a server is rescued with."""

    model_config = ConfigDict(frozen=True)

    image_id: str
    kernel_id: str | None = None
    ramdisk_id: str | None = None


class Move(BaseModel):
    """A move under way, or done and not yet confirmed; the fields without ``new`` are what it goes back to."""

    model_config = ConfigDict(frozen=True)

    kind: MoveKind
    op: str
    """Request id of what began it."""
    done: bool = False
    """It waits for its confirmation, or for the end of the rescue; the server's row says the new side."""
    host: str
    """Empty: a shelved server is on none."""
    attempt: int
    vm_state: str
    flavor: Flavor
    new_host: str | None = None
    new_flavor: Flavor
    more_vcpus: int = 0
    """What it holds of the project's quota beyond the flavor that the row says."""
    more_ram_mb: int = 0
    rebuilt: Rebuilt | None = None
    rescue: Rescue | None = None
    rezoned: bool = False
    new_zone: str | None = None
    """The availability zone from now on, where ``rezoned``; None: any."""
    new_user_data: bool = False
    sealed_user_data: dict[str, str] | None = Field(default=None, repr=False)
    """Takes the place of the server's own where ``new_user_data``; None: it has none any more."""
    created_at: datetime
    updated_at: datetime


def travelling(server_id: str, attempt: int) -> str:
    """Id of the image that a server's disk travels as, to the host of this attempt."""
    return str(uuid5(UUID(server_id), f"move/{attempt}"))


def check_resize(old: Flavor, new: Flavor, *, volume_backed: bool) -> None:
    """Raises BadRequest for a flavor that a server can't be resized to."""
    if new.id == old.id:
        raise BadRequest("When resizing, instances must change flavor!")
    if volume_backed:
        return
    if new.disk_gb == 0 and old.disk_gb != 0:
        raise BadRequest("Resize to zero disk flavor is not allowed.")
    if 0 < new.disk_gb < old.disk_gb:
        raise BadRequest("Server disk was unable to be resized because: the new flavor's disk is smaller.")
