"""Rows that are kept after their thing is gone, and go when they have settled, a batch at a time.

``TOMBSTONES`` is longer than anything late can be. What a tombstone stops was sent before it was written, by an
activity whose run has ended. The longest that one may run is two hours (a copy of data); a worker that was frozen for
longer, with its machine, comes back with tokens that expired within the hour, and a host that was away pays its debts
before it takes work. Closed runs are kept for 30 days, by the installation's advice: after that nothing anywhere names
the attempt.

``ROWS`` are of servers and volumes that were deleted: administrators list them, and usage is counted by them, for the
last quarter. A server stays as long as anything is left of it, whatever its age. Images stay: their ids are chosen by
users, and an id never names other data.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, literal_column
from sqlmodel import Session, col, select

from infra.db import claims, idempotency
from infra.db.tables.hosts import ClaimRow
from infra.db.tables.network import PortRow
from infra.db.tables.servers import DELETED, ActionRow, DebtRow, ServerRow
from infra.db.tables.volume import AttachmentRow, SnapshotRow, VolumeRow
from infra.db.types import now

TOMBSTONES = timedelta(days=30)
ROWS = timedelta(days=90)
BATCH = 500


def prune(session: Session, moment: datetime | None = None) -> int:
    """Drop a batch of each kind; returns how large the largest was: ``BATCH`` says that there may be more.

    Args:
        moment: what is taken for now.
    """
    moment = moment or now()
    return max(
        claims.forget_closed(session, moment - TOMBSTONES, BATCH),
        idempotency.forget(session, moment - TOMBSTONES, BATCH),
        _servers(session, moment - ROWS),
        _volumes(session, moment - ROWS),
        _deleted(session, SnapshotRow, moment - ROWS),
    )


def _servers(session: Session, before: datetime) -> int:
    """With their actions."""
    left = (
        exists().where(col(DebtRow.server_id) == col(ServerRow.id)),
        exists().where(col(ClaimRow.server_id) == col(ServerRow.id)),
        exists().where(col(PortRow.device_id) == col(ServerRow.id)),
        exists().where(col(AttachmentRow.server_id) == col(ServerRow.id)),
    )
    old: tuple[ColumnElement[bool], ...] = literal_column(DELETED), col(ServerRow.deleted_at) < before
    ids = session.exec(select(ServerRow.id).where(*old, *(~one for one in left)).limit(BATCH)).all()
    session.execute(delete(ActionRow).where(col(ActionRow.server_id).in_(ids)))
    session.execute(delete(ServerRow).where(col(ServerRow.id).in_(ids)))
    return len(ids)


def _volumes(session: Session, before: datetime) -> int:
    return _deleted(session, VolumeRow, before, ~exists().where(col(AttachmentRow.volume_id) == col(VolumeRow.id)))


def _deleted(session: Session, table: type[VolumeRow] | type[SnapshotRow], before: datetime, *more: Any) -> int:
    old = col(table.status) == "deleted", col(table.deleted_at) < before
    ids = session.exec(select(table.id).where(*old, *more).limit(BATCH)).all()
    session.execute(delete(table).where(col(table.id).in_(ids)))
    return len(ids)
