"""Undos that do not get through, each with the run that tries: the row of their server shows the oldest."""

from sqlalchemy import literal_column
from sqlmodel import Session, col, select

from infra.db import servers
from infra.db.tables.servers import STUCK, ServerRow, StuckUndoRow
from infra.db.types import now
from infra.domain.server import Server


def say(session: Session, server_id: str, run: str, what: str | None) -> None:
    """What one run is stuck with, in one sentence; None: it is through. Of other runs it says nothing.

    Args:
        run: its workflow's id.
    """
    servers.lock(session, server_id)
    row = session.get(StuckUndoRow, (server_id, run))
    if what is not None:
        row = row or StuckUndoRow(server_id=server_id, run=run, since=now(), what=what)
        row.what = what
        session.add(row)
    elif row is not None:
        session.delete(row)
    session.flush()
    own = select(StuckUndoRow).where(col(StuckUndoRow.server_id) == server_id)
    oldest = session.exec(own.order_by(col(StuckUndoRow.since), col(StuckUndoRow.run)).limit(1)).first()
    what = None if oldest is None else oldest.what
    server = session.get(ServerRow, server_id)
    if server is not None and server.stuck_undo != what:
        servers.write_row(session, server, stuck_undo=what)


def say_of_holder(session: Session, server_id: str, what: str | None) -> None:
    """As ``say``, of the run that holds the server: there is one at a time."""
    say(session, server_id, f"server/{server_id}", what)


def find(session: Session) -> list[Server]:
    """Servers with an undo that does not get through."""
    rows = session.exec(select(ServerRow).where(literal_column(STUCK)))
    return [servers.to_server(row) for row in rows]
