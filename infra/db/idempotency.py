"""Keys that workers send with their REST calls, so that a repeat finds its own work and a late one finds none.

The key of an effect is ``<server>/<attempt>/<step>``. A DELETE with a key buries it: a POST with a buried key,
however late it arrives, is refused. So is one of an attempt that is closed, whose effects nobody looks for any more.
"""

from datetime import datetime

from sqlalchemy import bindparam, delete
from sqlmodel import Session, col, select

from infra.db import claims
from infra.db.statements import Addition, Lookup, run, table_of
from infra.db.tables.idempotency import IdempotencyRow
from infra.db.types import now
from infra.domain.errors import Conflict

_TABLE = table_of(IdempotencyRow)
_BY_KEY = Lookup(IdempotencyRow, "key")
_ADDITION = Addition(IdempotencyRow)
_BURY = _TABLE.update().where(_TABLE.c.key == bindparam("buried_key")).values(buried=True)


def first_use(session: Session, key: str, resource_id: str) -> str | None:
    """Take a key for a resource; returns the id of the resource that an earlier call with this key made.

    Raises:
        Conflict: the key was buried, or the attempt it belongs to is over.
    """
    if _ADDITION.add(session, {"key": key, "resource_id": resource_id, "buried": False, "created_at": now()}):
        claims.require_open(session, *attempt_of(key))
        return None
    row = _BY_KEY.first(session, key)
    assert row is not None, "keys are not removed while they may be used"
    if row.buried:
        raise Conflict(f"The request with idempotency key {key} was undone before it arrived.", kind="AttemptClosed")
    return str(row.resource_id)


def bury(session: Session, key: str) -> str | None:
    """Close a key for good; returns the id of the resource that was made with it, if any was."""
    if _ADDITION.add(session, {"key": key, "resource_id": "", "buried": True, "created_at": now()}):
        return None
    run(session, _BURY, {"buried_key": key})
    row = _BY_KEY.first(session, key)
    return str(row.resource_id) or None if row is not None else None


def made_with(session: Session, beginning: str) -> dict[str, str]:
    """Ids of what was made with keys that begin so, by key; what was undone is left out."""
    query = select(IdempotencyRow).where(col(IdempotencyRow.key).startswith(beginning, autoescape=True))
    return {row.key: row.resource_id for row in session.exec(query.where(col(IdempotencyRow.buried).is_(False)))}


def forget(session: Session, before: datetime, limit: int) -> int:
    """Drop keys that were first used before then, buried or not; returns how many."""
    old = session.exec(select(IdempotencyRow.key).where(col(IdempotencyRow.created_at) < before).limit(limit)).all()
    session.execute(delete(IdempotencyRow).where(col(IdempotencyRow.key).in_(old)))
    return len(old)


def attempt_of(key: str) -> tuple[str, int]:
    """Server and number of the attempt that a key belongs to; 0 for a key of another form."""
    server, _, rest = key.partition("/")
    number = rest.partition("/")[0]
    return server, int(number) if number.isdecimal() and len(number) < 10 else 0


def is_buried(session: Session, key: str) -> bool:
    row = _BY_KEY.first(session, key)
    return row is not None and bool(row.buried)
