"""Rows of the compute service's servers. Written by ``infra/db/servers.py`` only."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Text, text
from sqlmodel import Field, SQLModel

from infra.db.types import Json, UtcDateTime

BUILDING = "vm_state = 'building'"
"""The rows of ``ix_servers_building``."""
LIVING = "vm_state != 'deleted'"
"""The rows of ``ix_servers_living``: deleted ones are kept for months."""
HELD = "(task_state IS NOT NULL OR op IS NOT NULL)"
"""The rows of ``ix_servers_held``: a request holds them now."""
STUCK = "stuck_undo IS NOT NULL"
"""The rows of ``ix_servers_stuck``."""
DELETED = "vm_state = 'deleted'"
"""The rows of ``ix_servers_deleted``."""


def _of(rows: str, name: str, *columns: str) -> Index:
    """An index of those rows only; a query takes it that says the same of its rows, word for word."""
    return Index(name, *columns, sqlite_where=text(rows), postgresql_where=text(rows))


class ServerRow(SQLModel, table=True):
    __tablename__ = "servers"
    __table_args__ = (
        Index("ix_servers_project_created", "project_id", "created_at"),
        Index("ix_servers_host", "host"),
        Index("ix_servers_reservation", "reservation_id", "project_id"),
        _of(BUILDING, "ix_servers_building", "project_id", "host", "updated_at", "id"),
        _of(LIVING, "ix_servers_living", "project_id"),
        _of(HELD, "ix_servers_held", "updated_at"),
        _of(STUCK, "ix_servers_stuck", "id"),
        _of(DELETED, "ix_servers_deleted", "deleted_at"),
    )

    id: str = Field(primary_key=True)
    project_id: str
    user_id: str
    name: str
    hostname: str
    flavor: dict[str, Any] = Field(sa_type=Json)
    flavor_id: str = Field(index=True)
    image_id: str | None = None
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    key_name: str | None = None
    vm_state: str
    task_state: str | None = None
    op: str | None = None
    power_state: int = 0
    host: str | None = None
    attempt: int = 0
    last_attempt: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    move: dict[str, Any] | None = Field(default=None, sa_type=Json)
    reservation_id: str
    launch_index: int = 0
    availability_zone: str | None = None
    config_drive: bool = False
    server_metadata: dict[str, str] = Field(sa_type=Json)
    tags: list[str] = Field(sa_type=Json)
    description: str | None = None
    locked: bool = False
    locked_reason: str | None = None
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    disk_config: str = "MANUAL"
    security_groups: list[str] = Field(sa_type=Json)
    networks: list[dict[str, Any]] = Field(sa_type=Json)
    block_devices: list[dict[str, Any]] = Field(sa_type=Json)
    scheduler_hints: dict[str, Any] = Field(sa_type=Json)
    root_device_name: str = "/dev/vda"
    shelved_image_id: str | None = None
    progress: int = 0
    fault: dict[str, Any] | None = Field(default=None, sa_type=Json)
    explanation: dict[str, Any] | None = Field(default=None, sa_type=Json)
    stuck_undo: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    launched_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    terminated_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class UserDataRow(SQLModel, table=True):
    """Sealed user data of a server: it travels through history once, then by reference."""

    __tablename__ = "server_user_data"

    server_id: str = Field(primary_key=True)
    sealed: dict[str, str] = Field(sa_type=Json)


class ActionRow(SQLModel, table=True):
    """What was asked of a server and how it went (``os-instance-actions``)."""

    __tablename__ = "server_actions"
    __table_args__ = (Index("ix_server_actions_server", "server_id", "started_at"),)

    server_id: str = Field(primary_key=True)
    request_id: str = Field(primary_key=True)
    action: str
    user_id: str
    project_id: str
    message: str | None = None
    started_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class StuckUndoRow(SQLModel, table=True):
    """An undo that does not get through, of one run."""

    __tablename__ = "stuck_undos"

    server_id: str = Field(primary_key=True)
    run: str = Field(primary_key=True)
    """Its workflow's id."""
    what: str = Field(sa_type=Text)
    since: datetime = Field(sa_type=UtcDateTime)


class DebtRow(SQLModel, table=True):
    """Clean-up that a host owes for a server, because it could not answer when it was asked."""

    __tablename__ = "debts"

    host: str = Field(primary_key=True)
    server_id: str = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    what: str
    created_at: datetime = Field(sa_type=UtcDateTime)
