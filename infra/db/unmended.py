"""What the latest comparison of each host found and nobody could put right, until the next one of that host."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict
from sqlalchemy import delete
from sqlmodel import Session, col, select

from infra.db.tables.hosts import DriftRow
from infra.db.types import now


class Unmended(BaseModel):
    model_config = ConfigDict(frozen=True)

    host: str
    kind: str
    """``unseen``, ``unclaimed``, ``other_attempt``, ``missing_volume`` or ``unknown_disk``."""
    what: str
    """One sentence for operators."""


def keep(session: Session, host: str, found: Sequence[Unmended]) -> None:
    """In place of what was kept of this host."""
    forget(session, host)
    session.add_all(
        DriftRow(host=host, position=position, kind=one.kind, what=one.what, found_at=now())
        for position, one in enumerate(found)
    )


def forget(session: Session, host: str) -> None:
    session.execute(delete(DriftRow).where(col(DriftRow.host) == host))


def everywhere(session: Session) -> list[Unmended]:
    """Of all hosts, by name."""
    rows = session.exec(select(DriftRow).order_by(col(DriftRow.host), col(DriftRow.position)))
    return [Unmended(host=row.host, kind=row.kind, what=row.what) for row in rows]
