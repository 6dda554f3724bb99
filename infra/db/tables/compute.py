"""Rows of the compute service's own catalogue: flavors, keypairs and quotas."""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from infra.db.types import Json, UtcDateTime


class FlavorRow(SQLModel, table=True):
    __tablename__ = "flavors"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    vcpus: int
    ram_mb: int
    disk_gb: int
    ephemeral_gb: int = 0
    swap_mb: int = 0
    rxtx_factor: float = 1.0
    is_public: bool = True
    disabled: bool = False
    description: str | None = None
    extra_specs: dict[str, str] = Field(sa_type=Json)


class FlavorAccessRow(SQLModel, table=True):
    """A project that may use a flavor that is not public."""

    __tablename__ = "flavor_access"

    flavor_id: str = Field(primary_key=True, foreign_key="flavors.id", ondelete="CASCADE")
    project_id: str = Field(primary_key=True)


class KeypairRow(SQLModel, table=True):
    __tablename__ = "keypairs"
    __table_args__ = (UniqueConstraint("user_id", "name"),)

    id: int | None = Field(default=None, primary_key=True)
    user_id: str
    name: str
    type: str
    public_key: str
    fingerprint: str
    created_at: datetime = Field(sa_type=UtcDateTime)


class QuotaRow(SQLModel, table=True):
    """The limits of one project that differ from the defaults; its lock while servers are admitted."""

    __tablename__ = "compute_quotas"

    project_id: str = Field(primary_key=True)
    limits: dict[str, Any] = Field(sa_type=Json)
