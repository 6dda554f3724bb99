"""Statements of the hot path, made once: SQLAlchemy takes longer to make one than SQLite to run it.

They run in the session's transaction and see what it has written, but past its unit of work: what they read is no
object of the session, and a row that the session has loaded before does not change with what they write.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, Result, Row, Table, and_, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel


def table_of(row: type[SQLModel]) -> Table:
    table: Table = row.__table__  # type: ignore[attr-defined]
    return table


def run(session: Session, statement: Executable, values: Mapping[str, Any]) -> Result[Any]:
    """A statement with its parameters, after what the session has pending."""
    session.flush()
    return session.connection().execute(statement, values)


class Lookup:
    """Rows by the values of some columns.

    Args:
        lock: as of ``Select.with_for_update``; SQLite's writers are alone in any case.
    """

    def __init__(
        self, row: type[SQLModel], *by: str, order_by: Sequence[str] = (), lock: Mapping[str, Any] | None = None
    ) -> None:
        table = table_of(row)
        self._by = by
        self._statement = select(table).where(and_(*(table.c[name] == bindparam(f"by_{name}") for name in by)))
        if order_by:
            self._statement = self._statement.order_by(*(table.c[name] for name in order_by))
        if lock is not None:
            self._statement = self._statement.with_for_update(**lock)

    def first(self, session: Session, *values: Any) -> Row[Any] | None:
        return self._run(session, values).first()

    def all(self, session: Session, *values: Any) -> Sequence[Row[Any]]:
        return self._run(session, values).all()

    def _run(self, session: Session, values: Sequence[Any]) -> Result[Any]:
        return run(
            session, self._statement, {f"by_{name}": value for name, value in zip(self._by, values, strict=True)}
        )


class Addition:
    """Adds a row, unless another has one of its keys."""

    def __init__(self, row: type[SQLModel]) -> None:
        table = table_of(row)
        # Without the option SQLAlchemy knows the count of an INSERT on some drivers only.
        known = {"preserve_rowcount": True}
        self._statements = {
            "sqlite": sqlite.insert(table).on_conflict_do_nothing().execution_options(**known),
            "postgresql": postgresql.insert(table).on_conflict_do_nothing().execution_options(**known),
        }

    def add(self, session: Session, values: Mapping[str, Any]) -> bool:
        """False where another row has a key of this one; then nothing changes."""
        statement = self._statements[session.get_bind().dialect.name]
        return run(session, statement, values).rowcount == 1  # type: ignore[attr-defined,no-any-return]
