"""What was asked of servers and how it went (``os-instance-actions``)."""

from sqlalchemy import bindparam
from sqlmodel import Session

from infra.db.statements import Addition, run, table_of
from infra.db.tables.servers import ActionRow
from infra.db.types import now
from infra.domain.server import Server

_ACTION = table_of(ActionRow)
_ADDITION = Addition(ActionRow)
_FINISH = (
    _ACTION.update()
    .where(
        _ACTION.c.server_id == bindparam("of_server"),
        _ACTION.c.request_id == bindparam("of_request"),
        _ACTION.c.finished_at.is_(None),
    )
    .values(finished_at=bindparam("at"), message=bindparam("saying"))
)


def start(session: Session, server: Server, request_id: str, action: str, user_id: str) -> None:
    """Note what was asked of a server; a repeat changes nothing."""
    values = {
        "server_id": server.id,
        "request_id": request_id,
        "action": action,
        "user_id": user_id,
        "project_id": server.project_id,
        "started_at": now(),
    }
    _ADDITION.add(session, values)


def finish(session: Session, server_id: str, request_id: str, message: str | None = None) -> None:
    run(session, _FINISH, {"of_server": server_id, "of_request": request_id, "at": now(), "saying": message})
