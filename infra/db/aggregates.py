"""Host aggregates and, by their ``availability_zone`` metadata, availability zones.

Rules and messages of conflicts as the Compute API reference has them (``os-aggregates``).
"""

import uuid

from sqlalchemy import delete, select, update
from sqlmodel import Session, col

from infra.db.engine import is_duplicate
from infra.db.tables.hosts import AggregateHostRow, AggregateRow, HostRow
from infra.db.types import now
from infra.domain.errors import BadRequest, Conflict, NotFound
from infra.domain.host import Aggregate

_ZONE = "availability_zone"


def create(session: Session, name: str, metadata: dict[str, str] | None = None) -> Aggregate:
    """Raises Conflict if the name is taken."""
    _check_name(session, name)
    row = AggregateRow(uuid=str(uuid.uuid4()), name=name, aggregate_metadata=metadata or {}, created_at=now())
    session.add(row)
    _flush(session, name)
    return _one(session, row)


def get(session: Session, id: int) -> Aggregate:
    """Raises NotFound."""
    return _one(session, _row(session, id))


def list_all(session: Session) -> list[Aggregate]:
    hosts: dict[int, list[str]] = {}
    rows = session.execute(
        select(col(AggregateHostRow.aggregate_id), col(AggregateHostRow.host)).order_by(col(AggregateHostRow.host))
    )
    for id, host in rows:
        hosts.setdefault(id, []).append(host)
    found = session.execute(select(AggregateRow).order_by(col(AggregateRow.id))).scalars()
    return [_aggregate(row, hosts.get(row.id or 0, [])) for row in found]


def generations(session: Session) -> dict[int, int]:
    """Of every aggregate, by id: what a cache compares."""
    rows = session.execute(select(col(AggregateRow.id), col(AggregateRow.generation)))
    return {row[0]: row[1] for row in rows}


def rename(session: Session, id: int, name: str) -> Aggregate:
    """Raises NotFound, or Conflict if the name is taken."""
    row = _row(session, id)
    if row.name != name:
        _check_name(session, name)
    row.name = name
    _touch(session, row)
    _flush(session, name)
    return _one(session, row)


def set_metadata(session: Session, id: int, changes: dict[str, str | None]) -> Aggregate:
    """Set keys, and remove those whose new value is None.

    Raises:
        NotFound: no such aggregate.
        Conflict: a host of it is in another zone than the new one.
    """
    row = _row(session, id)
    merged = {**row.aggregate_metadata, **changes}
    metadata = {key: value for key, value in merged.items() if value is not None}
    zone = metadata.get(_ZONE)
    if zone is not None and zone != row.aggregate_metadata.get(_ZONE):
        _check_zone(session, id, _hosts(session, id), zone)
    row.aggregate_metadata = metadata
    _touch(session, row)
    return _one(session, row)


def add_host(session: Session, id: int, host: str) -> Aggregate:
    """Raises NotFound (aggregate or host), or Conflict if it is a member already or in another zone."""
    row = _row(session, id)
    known = select(col(HostRow.id)).where(col(HostRow.name) == host).with_for_update()
    if session.execute(known).first() is None:
        raise NotFound(f"Compute host {host} could not be found.")
    if host in _hosts(session, id):
        raise Conflict(f"Cannot add host {host} in aggregate {id}: the host is already a member.")
    zone = row.aggregate_metadata.get(_ZONE)
    if zone is not None:
        _check_zone(session, id, [host], zone)
    session.add(AggregateHostRow(aggregate_id=id, host=host))
    _touch(session, row)
    return _one(session, row)


def remove_host(session: Session, id: int, host: str) -> Aggregate:
    """Raises NotFound if the aggregate doesn't exist or the host is not in it."""
    row = _row(session, id)
    if host not in _hosts(session, id):
        raise NotFound(f"Aggregate {id} has no host {host}.")
    # Before the membership goes, so that the host that leaves is bumped too.
    _touch(session, row)
    session.execute(
        delete(AggregateHostRow).where(col(AggregateHostRow.aggregate_id) == id, col(AggregateHostRow.host) == host)
    )
    return _one(session, row)


def remove(session: Session, id: int) -> None:
    """Raises NotFound, or BadRequest if hosts are in it."""
    row = _row(session, id)
    if _hosts(session, id):
        raise BadRequest(f"Cannot remove aggregate {id}: it is not empty.")
    session.delete(row)


def _row(session: Session, id: int) -> AggregateRow:
    query = select(AggregateRow).where(col(AggregateRow.id) == id).with_for_update()
    row: AggregateRow | None = session.execute(query).scalar_one_or_none()
    if row is None:
        raise NotFound(f"Aggregate {id} could not be found.")
    return row


def _check_name(session: Session, name: str) -> None:
    if session.execute(select(col(AggregateRow.id)).where(col(AggregateRow.name) == name)).first():
        raise Conflict(f"Aggregate {name} already exists.")


def _flush(session: Session, name: str) -> None:
    try:
        session.flush()
    except Exception as error:
        if is_duplicate(error):
            raise Conflict(f"Aggregate {name} already exists.") from error
        raise


def _check_zone(session: Session, id: int, hosts: list[str], zone: str) -> None:
    for other in list_all(session):
        shared = sorted(set(hosts) & set(other.hosts))
        if other.id != id and shared and other.availability_zone not in (None, zone):
            raise Conflict(f"Host {shared[0]} is already in availability zone {other.availability_zone}.")


def _touch(session: Session, row: AggregateRow) -> None:
    # A host's zone is shown with the host: what changes here changes there.
    row.generation += 1
    row.updated_at = now()
    session.add(row)
    session.flush()
    _bump_hosts(session, _hosts(session, row.id or 0))


def _bump_hosts(session: Session, hosts: list[str]) -> None:
    session.execute(update(HostRow).where(col(HostRow.name).in_(hosts)).values(generation=col(HostRow.generation) + 1))


def _hosts(session: Session, id: int) -> list[str]:
    query = select(col(AggregateHostRow.host)).where(col(AggregateHostRow.aggregate_id) == id)
    return list(session.execute(query.order_by(col(AggregateHostRow.host))).scalars())


def _one(session: Session, row: AggregateRow) -> Aggregate:
    return _aggregate(row, _hosts(session, row.id or 0))


def _aggregate(row: AggregateRow, hosts: list[str]) -> Aggregate:
    assert row.id is not None
    return Aggregate(
        id=row.id,
        uuid=row.uuid,
        name=row.name,
        metadata=row.aggregate_metadata,
        hosts=tuple(hosts),
        created_at=row.created_at,
        updated_at=row.updated_at,
        generation=row.generation,
    )
