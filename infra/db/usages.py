"""Which servers ran in a period: from their rows, which stay for a quarter after a server is deleted
(``infra.db.pruning``)."""

from datetime import datetime

from sqlalchemy import or_
from sqlmodel import Session, col, select

from infra.db import servers
from infra.db.tables.servers import ServerRow
from infra.domain.errors import BadRequest
from infra.domain.server import Server


def running_between(
    session: Session,
    start: datetime,
    stop: datetime,
    *,
    project_id: str | None = None,
    marker: str | None = None,
    limit: int | None = None,
) -> list[Server]:
    """Servers of a project, or of all, by project and id.

    Args:
        marker: a server's id: only those that come after it.

    Raises:
        BadRequest: the marker is no server's.
    """
    query = select(ServerRow).where(
        col(ServerRow.launched_at) < stop,
        or_(col(ServerRow.terminated_at).is_(None), col(ServerRow.terminated_at) >= start),
    )
    if project_id is not None:
        query = query.where(col(ServerRow.project_id) == project_id)
    if marker is not None:
        last = session.get(ServerRow, marker)
        if last is None:
            raise BadRequest(f"Marker {marker} could not be found.")
        same = col(ServerRow.project_id) == last.project_id
        query = query.where(or_(col(ServerRow.project_id) > last.project_id, same & (col(ServerRow.id) > last.id)))
    query = query.order_by(col(ServerRow.project_id), col(ServerRow.id)).limit(limit)
    return [servers.to_server(row) for row in session.exec(query)]
