"""Snapshots of volumes: full copies with ids of their own. Their rows work as those of volumes do."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlmodel import Session, col, select

from infra.db import idempotency, storage_quotas, volume_usage, volumes
from infra.db.tables.volume import SnapshotRow, VolumeRow
from infra.db.types import now
from infra.domain.errors import BadRequest, NotFound, TooLarge
from infra.domain.volume import Snapshot

PENDING = ("creating", "deleting")
_DELETABLE = ("available", "error", "error_deleting")


class Writer(BaseModel):
    """The guest that has a snapshot's volume while it is made."""

    model_config = ConfigDict(frozen=True)

    server_id: str
    host: str
    attempt: int
    device: str
    """In the guest: ``vdb``."""


def create(
    session: Session, snapshot: Snapshot, quota: dict[str, int], *, in_use: bool = False, key: str | None = None
) -> Snapshot:
    """Insert the row (``creating``) of a snapshot, within the project's quota.

    Args:
        in_use: also of a volume that a server has.
        key: idempotency key; a repeat answers with the first one's snapshot.

    Raises:
        BadRequest: the volume is not available.
        TooLarge: the quota does not allow it.
        Conflict: the key was buried.
    """
    earlier = idempotency.first_use(session, key, snapshot.id) if key is not None else None
    if earlier is not None:
        return get(session, earlier)
    limits = storage_quotas.lock(session, "volume", snapshot.project_id, quota)
    volume = volumes.existing(session, snapshot.volume_id, lock=True)
    allowed = ("available", "in-use") if in_use else ("available",)
    if volume.status not in allowed:
        raise BadRequest(
            f"Invalid volume: Volume {volume.id} status must be {' or '.join(allowed)}, but current status is: "
            f"{volume.status}."
        )
    used = volume_usage.usage(session, snapshot.project_id)
    if 0 <= limits["snapshots"] < used["snapshots"] + 1:
        raise TooLarge(f"Maximum number of snapshots allowed ({limits['snapshots']}) exceeded.")
    volume_usage.check_gigabytes(limits, used, snapshot.size_gb)
    values = snapshot.model_dump(exclude={"metadata"})
    session.add(SnapshotRow(**values, snapshot_metadata=snapshot.metadata))
    return snapshot


def get(session: Session, snapshot_id: str, project_id: str | None = None) -> Snapshot:
    return _snapshot(_existing(session, snapshot_id, project_id))


def all_of(session: Session, project_id: str | None = None) -> list[Snapshot]:
    query = select(SnapshotRow).where(col(SnapshotRow.status) != volumes.DELETED)
    if project_id is not None:
        query = query.where(col(SnapshotRow.project_id) == project_id)
    return [_snapshot(row) for row in session.exec(query)]


def update(session: Session, snapshot_id: str, project_id: str | None, changes: Mapping[str, Any]) -> Snapshot:
    """Set ``name``, ``description`` or ``status``."""
    row = _existing(session, snapshot_id, project_id, lock=True)
    for name, value in changes.items():
        setattr(row, name, value)
    return _written(session, row)


def change_metadata(
    session: Session, snapshot_id: str, project_id: str | None, change: Callable[[dict[str, str]], dict[str, str]]
) -> dict[str, str]:
    row = _existing(session, snapshot_id, project_id, lock=True)
    row.snapshot_metadata = change(dict(row.snapshot_metadata))
    return _written(session, row).metadata


def begin_delete(session: Session, snapshot_id: str, project_id: str | None = None, *, force: bool = False) -> Snapshot:
    """Raises BadRequest if its data is at work: it is being made, or a volume is made from it."""
    row = _existing(session, snapshot_id, project_id, lock=True)
    if row.status == "deleting":
        return _snapshot(row)
    if row.status not in _DELETABLE and not force:
        raise BadRequest(f"Invalid snapshot: Snapshot status must be available or error, but is {row.status}.")
    used = select(VolumeRow).where(col(VolumeRow.snapshot_id) == snapshot_id, col(VolumeRow.status) == "creating")
    if session.exec(used).first() is not None:
        raise BadRequest("Invalid snapshot: a volume is being made from it.")
    row.status = "deleting"
    return _written(session, row)


def begin_delete_with_volume(session: Session, volume_id: str, project_id: str | None = None) -> None:
    """A volume and all its snapshots, or none of them; the volume's deletion removes their data and rows.

    Raises:
        BadRequest: the volume is in use, or one of the snapshots is being made or copied.
    """
    volumes.begin_delete(session, volume_id, project_id, with_snapshots=True)
    rows = select(SnapshotRow.id).where(
        col(SnapshotRow.volume_id) == volume_id, col(SnapshotRow.status) != volumes.DELETED
    )
    for snapshot_id in session.exec(rows).all():
        begin_delete(session, snapshot_id)


def set_available(session: Session, snapshot_id: str) -> None:
    row = _existing(session, snapshot_id, lock=True)
    if row.status == "creating":
        row.status = "available"
        _written(session, row)


def set_error(session: Session, snapshot_id: str) -> None:
    row = _existing(session, snapshot_id, lock=True)
    if row.status in PENDING:
        row.status = "error_deleting" if row.status == "deleting" else "error"
        _written(session, row)


def delete(session: Session, snapshot_id: str) -> None:
    """The data is gone: bury the row. Not there is success."""
    row = session.get(SnapshotRow, snapshot_id, with_for_update=True, populate_existing=True)
    if row is not None and row.status != volumes.DELETED:
        row.status, row.deleted_at = volumes.DELETED, now()
        session.add(row)


def work(session: Session, snapshot_id: str) -> volumes.Work | None:
    """What has to be done to the data now: it is a copy of its volume's."""
    row = session.get(SnapshotRow, snapshot_id)
    if row is None or row.status not in PENDING:
        return None
    return volumes.Work(
        volume_id=row.id,
        status=row.status,
        size_gb=row.size_gb,
        source="volume",
        source_id=row.volume_id,
        source_format="qcow2",
    )


def writer(session: Session, snapshot_id: str) -> Writer | None:
    """The guest whose host has to make the copy; None: nobody writes to the volume."""
    row = session.get(SnapshotRow, snapshot_id)
    for one in volumes.attachments_on(session, row.volume_id) if row is not None else ():
        # What is attached by somebody else's hand is on no host of ours.
        if one.status == "attached" and one.host is not None and one.device is not None:
            return Writer(
                server_id=one.server_id, host=one.host, attempt=one.attempt, device=one.device.removeprefix("/dev/")
            )
    return None


def pending(session: Session) -> list[str]:
    return list(session.exec(select(SnapshotRow.id).where(col(SnapshotRow.status).in_(PENDING))))


def _existing(session: Session, snapshot_id: str, project_id: str | None = None, *, lock: bool = False) -> SnapshotRow:
    row = session.get(SnapshotRow, snapshot_id, with_for_update=lock or None, populate_existing=lock)
    if row is None or row.status == volumes.DELETED or (project_id is not None and row.project_id != project_id):
        raise NotFound(f"Snapshot {snapshot_id} could not be found.")
    return row


def _written(session: Session, row: SnapshotRow) -> Snapshot:
    row.updated_at = now()
    session.add(row)
    session.flush()
    return _snapshot(row)


def _snapshot(row: SnapshotRow) -> Snapshot:
    values = row.model_dump(include=set(Snapshot.model_fields) - {"metadata"})
    return Snapshot(**values, metadata=row.snapshot_metadata)
