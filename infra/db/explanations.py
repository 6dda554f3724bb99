"""Why each attempt at a server went where it went, or nowhere; kept as long as the server is."""

from typing import Any

from sqlalchemy import Select, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from infra.db.statements import table_of
from infra.db.tables.hosts import PlacementExplanationRow
from infra.domain.placement import Explanation

_TABLE = table_of(PlacementExplanationRow)
VALUES = select(*(bindparam(f"its_{column.name}", type_=column.type) for column in _TABLE.columns))
"""A row of ``parameters``."""
_KEY = ["server_id", "attempt"]
_DELETE = delete(_TABLE).where(_TABLE.c.server_id == bindparam("a_server"))


def keeping(rows: Select[Any]) -> postgresql.Insert:
    """On PostgreSQL: keep these rows, in place of what an earlier try of their attempt wrote."""
    statement = postgresql.insert(_TABLE).from_select(_TABLE.columns.keys(), rows)
    return statement.on_conflict_do_update(index_elements=_KEY, set_={"explanation": statement.excluded.explanation})


_on_sqlite = sqlite.insert(_TABLE).values({column: bindparam(f"its_{column.name}") for column in _TABLE.columns})
_KEEP = {
    "postgresql": keeping(VALUES),
    "sqlite": _on_sqlite.on_conflict_do_update(
        index_elements=_KEY, set_={"explanation": _on_sqlite.excluded.explanation}
    ),
}


def parameters(server_id: str, attempt: int, explanation: dict[str, Any]) -> dict[str, Any]:
    return {"its_server_id": server_id, "its_attempt": attempt, "its_explanation": explanation}


def keep(session: Session, server_id: str, attempt: int, explanation: dict[str, Any]) -> None:
    """In place of what an earlier try of the attempt wrote."""
    statement = _KEEP[session.get_bind().dialect.name]
    session.connection().execute(statement, parameters(server_id, attempt, explanation))


def of_server(session: Session, server_id: str) -> dict[int, Explanation]:
    """By attempt, in order."""
    rows = session.connection().execute(
        select(_TABLE.c.attempt, _TABLE.c.explanation).where(_TABLE.c.server_id == server_id).order_by(_TABLE.c.attempt)
    )
    return {attempt: Explanation.model_validate(explanation) for attempt, explanation in rows}


def forget(session: Session, server_id: str) -> None:
    session.connection().execute(_DELETE, {"a_server": server_id})
