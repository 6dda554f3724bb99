"""Rows of the volume service. Written by ``infra/db/{volumes,volume_attachments,snapshots,volume_types}.py`` only."""

from datetime import datetime

from sqlalchemy import Index, Text, text
from sqlmodel import Field, SQLModel

from infra.db.types import Json, UtcDateTime

_HELD = text("op IS NOT NULL")


class VolumeRow(SQLModel, table=True):
    __tablename__ = "volumes"
    __table_args__ = (
        Index("ix_volumes_project_created", "project_id", "created_at"),
        Index("ix_volumes_status", "status"),
    )

    id: str = Field(primary_key=True)
    project_id: str
    user_id: str
    name: str | None = None
    description: str | None = Field(default=None, sa_type=Text)
    size_gb: int
    status: str
    bootable: bool = False
    image_id: str | None = None
    image_metadata: dict[str, str] = Field(sa_type=Json)
    snapshot_id: str | None = None
    source_volume_id: str | None = Field(default=None, index=True)
    volume_type: str
    availability_zone: str
    volume_metadata: dict[str, str] = Field(sa_type=Json)
    read_only: bool | None = None
    error: str | None = Field(default=None, sa_type=Text)
    wanted_size_gb: int | None = None
    """The size that it gets while it is ``extending``."""
    upload_image_id: str | None = None
    """The image that it is copied to while it is ``uploading``."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class AttachmentRow(SQLModel, table=True):
    __tablename__ = "volume_attachments"
    __table_args__ = (
        Index("ix_volume_attachments_volume", "volume_id"),
        Index("ix_volume_attachments_held", "volume_id", sqlite_where=_HELD, postgresql_where=_HELD),
    )

    id: str = Field(primary_key=True)
    volume_id: str
    server_id: str = Field(index=True)
    host: str | None = None
    device: str | None = None
    attempt: int = 0
    mode: str = "rw"
    status: str
    delete_on_termination: bool = False
    key: str | None = None
    """The idempotency key that it was made with."""
    op: str | None = None
    """Request id of the attach or detach, to or from a server that is there, which holds it now."""
    attached_at: datetime = Field(sa_type=UtcDateTime)


class SnapshotRow(SQLModel, table=True):
    __tablename__ = "volume_snapshots"
    __table_args__ = (
        Index("ix_volume_snapshots_project", "project_id"),
        Index("ix_volume_snapshots_volume", "volume_id"),
        Index("ix_volume_snapshots_status", "status"),
    )

    id: str = Field(primary_key=True)
    volume_id: str
    project_id: str
    user_id: str
    name: str | None = None
    description: str | None = Field(default=None, sa_type=Text)
    size_gb: int
    status: str
    snapshot_metadata: dict[str, str] = Field(sa_type=Json)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class VolumeTypeRow(SQLModel, table=True):
    __tablename__ = "volume_types"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    description: str | None = None
    is_public: bool = True
    extra_specs: dict[str, str] = Field(sa_type=Json)
