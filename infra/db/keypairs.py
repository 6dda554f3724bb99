"""SSH public keys by user and name. Private keys are never kept."""

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from infra.db.engine import is_duplicate
from infra.db.statements import Lookup
from infra.db.tables.compute import KeypairRow
from infra.db.types import now
from infra.domain.errors import BadRequest, Conflict, NotFound, QuotaExceeded
from infra.domain.flavor import Keypair

_BY_NAME = Lookup(KeypairRow, "user_id", "name")


def _row(session: Session, user_id: str, name: str) -> KeypairRow:
    query = select(KeypairRow).where(col(KeypairRow.user_id) == user_id, col(KeypairRow.name) == name)
    row = session.exec(query).first()
    if row is None:
        raise _missing(user_id, name)
    return row


def _missing(user_id: str, name: str) -> NotFound:
    return NotFound(f"Keypair {name} not found for user {user_id}")


def create(
    session: Session, user_id: str, name: str, type: str, public_key: str, fingerprint: str, *, limit: int
) -> Keypair:
    """Keep a public key.

    Args:
        limit: the most keys a user may have; negative for any number.

    Raises:
        Conflict: the user has a key of this name.
        QuotaExceeded: the user has ``limit`` keys already.
    """
    if 0 <= limit <= count(session, user_id):
        raise QuotaExceeded("Quota exceeded, too many key pairs.")
    row = KeypairRow(
        user_id=user_id, name=name, type=type, public_key=public_key, fingerprint=fingerprint, created_at=now()
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as e:
        if not is_duplicate(e):
            raise
        raise Conflict(f"Key pair '{name}' already exists.") from None
    return Keypair.model_validate(row.model_dump())


def get(session: Session, user_id: str, name: str) -> Keypair:
    """Raises NotFound if the user has no key of this name."""
    row = _BY_NAME.first(session, user_id, name)
    if row is None:
        raise _missing(user_id, name)
    return Keypair.model_validate(row._asdict())


def list_keypairs(
    session: Session, user_id: str, *, limit: int | None = None, marker: str | None = None
) -> list[Keypair]:
    """A user's keys by name.

    Raises:
        BadRequest: ``marker`` (the last name of the page before) is no key of the user's.
    """
    query = select(KeypairRow).where(col(KeypairRow.user_id) == user_id).order_by(col(KeypairRow.name))
    if marker is not None:
        try:
            _row(session, user_id, marker)
        except NotFound:
            raise BadRequest(f"Marker {marker} could not be found.") from None
        query = query.where(col(KeypairRow.name) > marker)
    return [Keypair.model_validate(row.model_dump()) for row in session.exec(query.limit(limit))]


def count(session: Session, user_id: str) -> int:
    return session.exec(select(func.count()).select_from(KeypairRow).where(col(KeypairRow.user_id) == user_id)).one()


def delete(session: Session, user_id: str, name: str) -> None:
    """Raises NotFound if the user has no key of this name."""
    session.delete(_row(session, user_id, name))
