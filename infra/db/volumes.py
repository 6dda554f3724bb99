"""Volumes: their rows, and which change of status may follow which.

The row is the lock: a verb starts by a change of status that only one caller can make. A transitional status
(``PENDING``) says what has to be done to the data, so that work that was interrupted can be taken up from the row
alone. Rows of deleted volumes stay, so that an id never names other data.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import true
from sqlmodel import Session, col, select

from infra.db import idempotency, images, storage_quotas, volume_usage
from infra.db.tables.volume import AttachmentRow, SnapshotRow, VolumeRow
from infra.db.types import now
from infra.domain.errors import BadRequest, NotFound, TooLarge
from infra.domain.volume import Volume, VolumeAttachment

DELETED = "deleted"
PENDING = ("creating", "extending", "uploading", "deleting")
DELETABLE = ("available", "error", "error_restoring", "error_extending", "error_managing", "error_deleting")


class Work(BaseModel):
    """What has to be done to a volume's data."""

    model_config = ConfigDict(frozen=True)

    volume_id: str
    status: str
    size_gb: int
    source: str | None = None
    """image, volume or snapshot; None: empty."""
    source_id: str | None = None
    source_format: str | None = None
    """Format that the image's data was found to be of."""
    upload_image_id: str | None = None
    snapshots: tuple[str, ...] = ()
    """Those that are deleted together with the volume."""


def create(session: Session, volume: Volume, quota: dict[str, int], *, key: str | None = None) -> Volume:
    """Insert the row (``creating``) within the project's quota.

    Args:
        quota: limits in force where the project has none of its own: ``volumes``, ``gigabytes``.
        key: idempotency key; a repeat answers with the first one's volume.

    Raises:
        TooLarge: the quota does not allow it.
        Conflict: the key was buried.
    """
    earlier = idempotency.first_use(session, key, volume.id) if key is not None else None
    existing = session.get(VolumeRow, earlier or volume.id)
    if existing is not None:
        return _volume(session, existing)
    limits = storage_quotas.lock(session, "volume", volume.project_id, quota)
    used = volume_usage.usage(session, volume.project_id)
    if 0 <= limits["volumes"] < used["volumes"] + 1:
        raise TooLarge(f"Maximum number of volumes allowed ({limits['volumes']}) exceeded for quota 'volumes'.")
    volume_usage.check_gigabytes(limits, used, volume.size_gb)
    values = volume.model_dump(exclude={"attachments", "metadata"})
    session.add(VolumeRow(**values, volume_metadata=volume.metadata))
    return volume


def get(session: Session, volume_id: str, project_id: str | None = None) -> Volume:
    """A volume of a project, or of any where it is None.

    Raises:
        NotFound: there is none, or it is another's; the two can't be told apart.
    """
    return _volume(session, existing(session, volume_id, project_id))


def all_of(session: Session, project_id: str | None = None) -> list[Volume]:
    """All volumes of a project, or of every project, in no order."""
    own = true() if project_id is None else col(VolumeRow.project_id) == project_id
    rows = list(session.exec(select(VolumeRow).where(col(VolumeRow.status) != DELETED, own)))
    attachments: dict[str, list[VolumeAttachment]] = {}
    for row in session.exec(select(AttachmentRow).where(col(AttachmentRow.volume_id) == VolumeRow.id, own)):
        attachments.setdefault(row.volume_id, []).append(_attachment(row))
    return [_as_volume(row, attachments.get(row.id, [])) for row in rows]


def update(session: Session, volume_id: str, project_id: str | None, changes: Mapping[str, Any]) -> Volume:
    """Set ``name``, ``description``, ``bootable``, ``read_only``, ``volume_type`` or ``metadata``."""
    row = existing(session, volume_id, project_id, lock=True)
    for name, value in changes.items():
        setattr(row, "volume_metadata" if name == "metadata" else name, value)
    return _written(session, row)


def change_metadata(
    session: Session, volume_id: str, project_id: str | None, change: Callable[[dict[str, str]], dict[str, str]]
) -> dict[str, str]:
    row = existing(session, volume_id, project_id, lock=True)
    row.volume_metadata = change(dict(row.volume_metadata))
    return _written(session, row).metadata


def move(session: Session, volume_id: str, project_id: str | None, sources: tuple[str, ...], target: str) -> Volume:
    """Change the status, where it is one of ``sources``.

    Raises:
        BadRequest: it is not.
    """
    row = existing(session, volume_id, project_id, lock=True)
    _require(row, sources)
    row.status = target
    return _written(session, row)


def reset_status(session: Session, volume_id: str, status: str) -> Volume:
    """What an administrator says it is."""
    row = existing(session, volume_id, lock=True)
    row.status, row.error = status, None
    return _written(session, row)


def begin_extend(
    session: Session, volume_id: str, project_id: str | None, size_gb: int, quota: dict[str, int]
) -> Volume:
    """available -> extending."""
    owner = existing(session, volume_id, project_id).project_id
    limits = storage_quotas.lock(session, "volume", owner, quota)
    row = existing(session, volume_id, project_id, lock=True)
    _require(row, ("available",))
    require_uncopied(session, volume_id)
    if size_gb <= row.size_gb:
        raise BadRequest(
            f"New size for extend must be greater than current size. (current: {row.size_gb}, extended: {size_gb})."
        )
    volume_usage.check_gigabytes(limits, volume_usage.usage(session, owner), size_gb - row.size_gb)
    row.status, row.wanted_size_gb = "extending", size_gb
    return _written(session, row)


def begin_upload(session: Session, volume_id: str, project_id: str | None, image_id: str) -> Volume:
    """available -> uploading."""
    row = existing(session, volume_id, project_id, lock=True)
    _require(row, ("available",))
    row.status, row.upload_image_id = "uploading", image_id
    return _written(session, row)


def begin_delete(
    session: Session,
    volume_id: str,
    project_id: str | None = None,
    *,
    force: bool = False,
    with_snapshots: bool = False,
) -> Volume:
    """Any status of ``DELETABLE`` -> deleting; that it is being deleted already is success.

    Args:
        force: whatever its status is, if nothing is attached (administrators).
        with_snapshots: the caller has its snapshots deleted in the same transaction.

    Raises:
        BadRequest: it is in use, or has snapshots.
    """
    row = existing(session, volume_id, project_id, lock=True)
    if row.status == "deleting":
        return _volume(session, row)
    if not force:
        _require(row, DELETABLE)
    if attachments_on(session, volume_id):
        raise BadRequest("Invalid volume: the volume is attached to a server.")
    require_uncopied(session, volume_id)
    if not with_snapshots and _snapshots(session, volume_id):
        raise BadRequest("Invalid volume: Volume status must not have dependent snapshots.")
    row.status = "deleting"
    return _written(session, row)


def set_available(session: Session, volume_id: str) -> Volume:
    """The work on the data that the status asked for is done; a status that asks for none stays."""
    row = existing(session, volume_id, lock=True)
    if row.status in PENDING and row.status != "deleting":
        row.size_gb = row.wanted_size_gb or row.size_gb
        row.status, row.wanted_size_gb, row.upload_image_id, row.error = "available", None, None, None
    return _written(session, row)


def set_error(session: Session, volume_id: str, reason: str) -> Volume:
    """The work failed for good. A failed upload leaves the volume as it was, and no image."""
    row = existing(session, volume_id, lock=True)
    failed = {"extending": "error_extending", "uploading": "available", "deleting": "error_deleting"}
    if row.status == "uploading" and row.upload_image_id is not None:
        images.discard(session, row.upload_image_id)
    if row.status in PENDING:
        row.status = failed.get(row.status, "error")
        row.error, row.wanted_size_gb, row.upload_image_id = reason, None, None
    return _written(session, row)


def delete(session: Session, volume_id: str) -> None:
    """The data is gone, that of its snapshots too: bury the rows. Not there is success."""
    row = session.get(VolumeRow, volume_id, with_for_update=True, populate_existing=True)
    if row is None or row.status == DELETED:
        return
    row.status, row.deleted_at = DELETED, now()
    session.add(row)
    for snapshot in _snapshots(session, volume_id):
        snapshot.status, snapshot.deleted_at = DELETED, now()
        session.add(snapshot)


def work(session: Session, volume_id: str) -> Work | None:
    """What has to be done to the data now; None where nothing has (also where the volume is gone)."""
    row = session.get(VolumeRow, volume_id)
    if row is None or row.status not in PENDING:
        return None
    sources = {"image": row.image_id, "snapshot": row.snapshot_id, "volume": row.source_volume_id}
    source, source_id = next(((kind, found) for kind, found in sources.items() if found), (None, None))
    return Work(
        volume_id=row.id,
        status=row.status,
        size_gb=row.wanted_size_gb or row.size_gb,
        source=source,
        source_id=source_id,
        source_format=row.image_metadata.get("disk_format") if source == "image" else "qcow2",
        upload_image_id=row.upload_image_id,
        snapshots=tuple(found.id for found in _snapshots(session, volume_id)) if row.status == "deleting" else (),
    )


def _snapshots(session: Session, volume_id: str) -> list[SnapshotRow]:
    rows = select(SnapshotRow).where(col(SnapshotRow.volume_id) == volume_id, col(SnapshotRow.status) != DELETED)
    return list(session.exec(rows))


def pending(session: Session) -> list[str]:
    """Ids of the volumes whose data has something to be done, for whoever takes up interrupted work."""
    return list(session.exec(select(VolumeRow.id).where(col(VolumeRow.status).in_(PENDING))))


def existing(session: Session, volume_id: str, project_id: str | None = None, *, lock: bool = False) -> VolumeRow:
    """For the modules of this aggregate."""
    row = session.get(VolumeRow, volume_id, with_for_update=lock or None, populate_existing=lock)
    if row is None or row.status == DELETED or (project_id is not None and row.project_id != project_id):
        raise NotFound(f"Volume {volume_id} could not be found.")
    return row


def require_uncopied(session: Session, volume_id: str) -> None:
    """Raises BadRequest while a snapshot or another volume is made from this one: its data must not change."""
    snapshots = select(SnapshotRow.id).where(
        col(SnapshotRow.volume_id) == volume_id, col(SnapshotRow.status) == "creating"
    )
    clones = select(VolumeRow.id).where(
        col(VolumeRow.source_volume_id) == volume_id, col(VolumeRow.status) == "creating"
    )
    if session.exec(snapshots).first() is not None or session.exec(clones).first() is not None:
        raise BadRequest(f"Invalid volume: Volume {volume_id} is being copied; wait until that is done.")


def attachments_of(session: Session, server_id: str) -> list[VolumeAttachment]:
    """Those of a server, oldest first."""
    query = select(AttachmentRow).where(col(AttachmentRow.server_id) == server_id)
    return [_attachment(row) for row in session.exec(query.order_by(col(AttachmentRow.attached_at)))]


def attachments_on(session: Session, volume_id: str) -> list[VolumeAttachment]:
    """Those of a volume, oldest first."""
    query = select(AttachmentRow).where(col(AttachmentRow.volume_id) == volume_id)
    return [_attachment(row) for row in session.exec(query.order_by(col(AttachmentRow.attached_at)))]


def _require(row: VolumeRow, sources: tuple[str, ...]) -> None:
    if row.status not in sources:
        raise BadRequest(
            f"Invalid volume: Volume status must be {' or '.join(sources)}, but current status is: {row.status}."
        )


def _written(session: Session, row: VolumeRow) -> Volume:
    row.updated_at = now()
    session.add(row)
    session.flush()
    return _volume(session, row)


def _volume(session: Session, row: VolumeRow) -> Volume:
    return _as_volume(row, attachments_on(session, row.id))


def _as_volume(row: VolumeRow, attachments: list[VolumeAttachment]) -> Volume:
    values = row.model_dump(include=set(Volume.model_fields) - {"attachments", "metadata"})
    return Volume(**values, metadata=row.volume_metadata, attachments=tuple(attachments))


def _attachment(row: AttachmentRow) -> VolumeAttachment:
    return VolumeAttachment.model_validate(row, from_attributes=True)
