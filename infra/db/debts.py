"""Clean-up that hosts owe: written when a host could not answer, paid by its worker before it takes new work."""

from pydantic import BaseModel, ConfigDict
from sqlalchemy import delete
from sqlmodel import Session, col, select

from infra.db.tables.servers import DebtRow
from infra.db.types import now


class Debt(BaseModel):
    model_config = ConfigDict(frozen=True)

    host: str
    server_id: str
    attempt: int
    """0: every attempt of the server on this host."""
    what: str
    """One sentence for operators: which undo did not get through, and why."""


def owe(session: Session, debt: Debt) -> None:
    if session.get(DebtRow, (debt.host, debt.server_id, debt.attempt)) is None:
        session.add(DebtRow(**debt.model_dump(), created_at=now()))


def pay(session: Session, host: str, server_id: str, attempt: int) -> None:
    row = session.get(DebtRow, (host, server_id, attempt))
    if row is not None:
        session.delete(row)


def forgive(session: Session, host: str) -> None:
    """Forget what a host owes that will not come back."""
    session.execute(delete(DebtRow).where(col(DebtRow.host) == host))


def owed(session: Session, host: str | None = None, *, server_id: str | None = None) -> list[Debt]:
    query = select(DebtRow).order_by(col(DebtRow.created_at))
    if host is not None:
        query = query.where(col(DebtRow.host) == host)
    if server_id is not None:
        query = query.where(col(DebtRow.server_id) == server_id)
    return [
        Debt(host=row.host, server_id=row.server_id, attempt=row.attempt, what=row.what) for row in session.exec(query)
    ]
