"""Rows of the image service. Written by ``infra/db/images.py`` only."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index
from sqlmodel import Field, SQLModel

from infra.db.types import Json, UtcDateTime


class ImageRow(SQLModel, table=True):
    __tablename__ = "images"
    __table_args__ = (Index("ix_images_owner", "owner"), Index("ix_images_visibility", "visibility", "status"))

    id: str = Field(primary_key=True)
    name: str | None = None
    owner: str | None = None
    status: str
    visibility: str
    disk_format: str | None = None
    container_format: str | None = None
    size: int | None = Field(default=None, sa_type=BigInteger)
    virtual_size: int | None = Field(default=None, sa_type=BigInteger)
    checksum: str | None = None
    hash_algo: str | None = None
    hash_value: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    protected: bool = False
    hidden: bool = False
    tags: list[str] = Field(sa_type=Json)
    properties: dict[str, Any] = Field(sa_type=Json)
    upload: str | None = None
    """Request id of the upload that holds the image while it is ``saving``."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ImageMemberRow(SQLModel, table=True):
    __tablename__ = "image_members"

    image_id: str = Field(primary_key=True)
    member_id: str = Field(primary_key=True, index=True)
    status: str = "pending"
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
