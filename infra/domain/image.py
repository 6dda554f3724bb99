"""Images as the Image Service (Glance v2) describes them."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

DISK_FORMATS = ("raw", "qcow2", "ami", "ari", "aki", "iso", "vhd", "vhdx", "vmdk", "vdi", "ploop")
BOOTABLE_FORMATS = ("raw", "qcow2", "ami", "iso")
CONTAINER_FORMATS = ("bare", "ami", "ari", "aki", "ovf", "ova", "docker", "compressed")


class Image(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    name: str | None
    owner: str | None
    """Project id."""
    status: str
    """queued, saving, active, deactivated, killed or deleted."""
    visibility: str = "shared"
    disk_format: str | None
    container_format: str | None
    size: int | None = None
    """Bytes of data."""
    virtual_size: int | None = None
    """Bytes of the disk as a guest sees it."""
    checksum: str | None = None
    """MD5, for Glance clients; ``hash_value`` is what is checked."""
    hash_algo: str | None = None
    hash_value: str | None = None
    min_disk: int = 0
    """GiB."""
    min_ram: int = 0
    """MiB."""
    protected: bool = False
    hidden: bool = False
    tags: tuple[str, ...] = ()
    properties: dict[str, Any] = Field(default_factory=dict)
    """Everything else at the top level of the wire form: ``kernel_id``, ``ramdisk_id``, ``hw_*``, ``os_*``, ..."""
    created_at: datetime
    updated_at: datetime


class ImageMember(BaseModel):
    model_config = ConfigDict(frozen=True)

    image_id: str
    member_id: str
    status: str = "pending"
    created_at: datetime
    updated_at: datetime
