"""What a project has of volumes and snapshots: the sum over the rows that exist."""

from sqlalchemy import func
from sqlmodel import Session, col, select

from infra.db.tables.volume import SnapshotRow, VolumeRow
from infra.domain.errors import TooLarge


def usage(session: Session, project_id: str) -> dict[str, int]:
    """``volumes``, ``snapshots`` and ``gigabytes`` (of both)."""
    volumes = _sum(session, VolumeRow, project_id)
    snapshots = _sum(session, SnapshotRow, project_id)
    return {"volumes": volumes[0], "snapshots": snapshots[0], "gigabytes": volumes[1] + snapshots[1]}


def check_gigabytes(limits: dict[str, int], used: dict[str, int], more: int) -> None:
    """Raises TooLarge if ``more`` GiB do not fit into the limit; -1 is none."""
    if 0 <= limits["gigabytes"] < used["gigabytes"] + more:
        raise TooLarge(
            f"Requested volume or snapshot exceeds allowed gigabytes quota. Requested {more}G, quota is "
            f"{limits['gigabytes']}G and {used['gigabytes']}G has been consumed."
        )


def _sum(session: Session, table: type[VolumeRow] | type[SnapshotRow], project_id: str) -> tuple[int, int]:
    query = select(func.count(), func.coalesce(func.sum(col(table.size_gb)), 0)).where(
        col(table.project_id) == project_id, col(table.status) != "deleted"
    )
    count, gigabytes = session.exec(query).one()
    return int(count), int(gigabytes or 0)
