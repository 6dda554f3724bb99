"""Volumes as the Volume Service (Cinder v3) describes them."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class VolumeAttachment(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    volume_id: str
    server_id: str
    host: str | None
    device: str | None
    """In the guest: ``/dev/vdb``."""
    attempt: int = 0
    attached_at: datetime
    delete_on_termination: bool = False
    status: str = "attached"
    """reserved, attaching or attached."""
    mode: str = "rw"


class Volume(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    project_id: str
    user_id: str
    name: str | None = None
    description: str | None = None
    size_gb: int
    status: str
    """creating, available, reserved, attaching, in-use, detaching, deleting, error, error_deleting, ..."""
    bootable: bool = False
    image_id: str | None = None
    image_metadata: dict[str, str] = Field(default_factory=dict)
    snapshot_id: str | None = None
    source_volume_id: str | None = None
    volume_type: str = "qcow2"
    availability_zone: str = "nova"
    metadata: dict[str, str] = Field(default_factory=dict)
    attachments: tuple[VolumeAttachment, ...] = ()
    read_only: bool | None = None
    """None: never asked for."""
    error: str | None = None
    """Why the status is an error, one sentence."""
    created_at: datetime
    updated_at: datetime | None = None


class Snapshot(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    volume_id: str
    project_id: str
    user_id: str
    name: str | None = None
    description: str | None = None
    size_gb: int
    status: str
    """creating, available, deleting, error or error_deleting."""
    metadata: dict[str, str] = Field(default_factory=dict)
    created_at: datetime
    updated_at: datetime | None = None


class VolumeType(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    description: str | None = None
    is_public: bool = True
    extra_specs: dict[str, str] = Field(default_factory=dict)


DEFAULT_TYPE = VolumeType(
    id="3f1d7c1e-6f1c-5d0a-9a83-6f0f4f0c5b61", name="qcow2", description="A QCOW2 file of the volume service's own."
)
