"""Rows of hosts, aggregates, server groups and claims.

``infra/db/hosts.py`` writes hosts, ``claims.py`` alone writes claims and what is claimed of a host.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Index
from sqlmodel import Field, SQLModel

from infra.db.changes import Change
from infra.db.types import Json, UtcDateTime

_NONE = {"server_default": "0"}
_ONE = {"server_default": "1"}


def _change() -> Any:
    return Column(BigInteger, nullable=False, index=True, default=Change(), onupdate=Change(), server_default="0")


def _parts() -> Any:
    return Column(Json, nullable=False, default=list, server_default="[]")


def _terms() -> Any:
    return Column(Json, nullable=False, default=dict, server_default="{}")


class HostRow(SQLModel, table=True):
    __tablename__ = "hosts"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    report: dict[str, Any] = Field(sa_type=Json)
    enabled: bool = True
    disabled_reason: str | None = None
    forced_down: bool = False
    ready: bool = False
    reported_at: datetime = Field(sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
    generation: int = 0
    changed: int = Field(default=None, sa_column=_change())
    """Grows with every change but a report that says nothing new: caches read on from where they were."""
    terms_set: dict[str, Any] = Field(default_factory=dict, sa_column=_terms())
    vcpus: int
    memory_mb: int
    disk_gb: int
    pcpus: int = Field(default=0, sa_column_kwargs=_NONE)
    vcpus_min_unit: int = Field(default=1, sa_column_kwargs=_ONE)
    memory_mb_min_unit: int = Field(default=1, sa_column_kwargs=_ONE)
    disk_gb_min_unit: int = Field(default=1, sa_column_kwargs=_ONE)
    pcpus_min_unit: int = Field(default=1, sa_column_kwargs=_ONE)
    vcpus_step_size: int = Field(default=1, sa_column_kwargs=_ONE)
    memory_mb_step_size: int = Field(default=1, sa_column_kwargs=_ONE)
    disk_gb_step_size: int = Field(default=1, sa_column_kwargs=_ONE)
    pcpus_step_size: int = Field(default=1, sa_column_kwargs=_ONE)
    vcpus_capacity: int
    memory_mb_capacity: int
    disk_gb_capacity: int
    pcpus_capacity: int = Field(default=0, sa_column_kwargs=_NONE)
    vcpus_claimed: int = 0
    memory_mb_claimed: int = 0
    disk_gb_claimed: int = 0
    pcpus_claimed: int = Field(default=0, sa_column_kwargs=_NONE)
    numa_used: list[dict[str, Any]] = Field(default_factory=list, sa_column=_parts())
    pci_used: list[dict[str, Any]] = Field(default_factory=list, sa_column=_parts())
    servers: int = 0
    build_failures: int = 0


class RemovedHostRow(SQLModel, table=True):
    """A host that was there: caches learn from it that it is no more."""

    __tablename__ = "removed_hosts"

    name: str = Field(primary_key=True)
    changed: int = Field(default=None, sa_column=_change())


class AggregateRow(SQLModel, table=True):
    __tablename__ = "aggregates"

    id: int | None = Field(default=None, primary_key=True)
    uuid: str = Field(unique=True)
    name: str = Field(unique=True)
    aggregate_metadata: dict[str, str] = Field(sa_type=Json)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    generation: int = 0


class AggregateHostRow(SQLModel, table=True):
    __tablename__ = "aggregate_hosts"

    aggregate_id: int = Field(primary_key=True)
    host: str = Field(primary_key=True, index=True)


class ServerGroupRow(SQLModel, table=True):
    __tablename__ = "server_groups"

    id: str = Field(primary_key=True)
    project_id: str = Field(index=True)
    user_id: str
    name: str
    policy: str
    max_server_per_host: int = 1
    created_at: datetime = Field(sa_type=UtcDateTime)


class ServerGroupMemberRow(SQLModel, table=True):
    """A server is in one group at most."""

    __tablename__ = "server_group_members"

    server_id: str = Field(primary_key=True)
    group_id: str = Field(index=True)
    position: int = 0


class ClaimRow(SQLModel, table=True):
    __tablename__ = "claims"
    __table_args__ = (Index("ix_claims_host", "host"),)

    server_id: str = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    host: str
    vcpus: int
    memory_mb: int
    disk_gb: int
    pcpus: int = Field(default=0, sa_column_kwargs=_NONE)
    numa: list[dict[str, Any]] = Field(default_factory=list, sa_column=_parts())
    pci: list[dict[str, Any]] = Field(default_factory=list, sa_column=_parts())
    image_properties: dict[str, str] = Field(sa_type=Json)
    quarantined: bool = False


class PlacementExplanationRow(SQLModel, table=True):
    """Why an attempt at a server went where it went."""

    __tablename__ = "placement_explanations"

    server_id: str = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    explanation: dict[str, Any] = Field(sa_type=Json)


class ClosedAttemptRow(SQLModel, table=True):
    """An attempt whose claim was released, or never came: a claim that arrives late is refused."""

    __tablename__ = "closed_attempts"

    server_id: str = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    closed_at: datetime = Field(sa_type=UtcDateTime, index=True)


class DriftRow(SQLModel, table=True):
    """What the latest comparison of a host found and nobody could put right."""

    __tablename__ = "drift"

    host: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    kind: str
    what: str
    found_at: datetime = Field(sa_type=UtcDateTime)
