"""Compute hosts: enrolment, reports, and the switches that operators have.

What is claimed of a host is written by ``claims.py`` only. ``generation`` counts every change of a host but the
time of its last report, so that a cache knows which rows to read again.
"""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Update, bindparam, delete, exists, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from infra.db import debts, network_changes, unmended
from infra.db.changes import Horizon
from infra.db.statements import run, table_of
from infra.db.tables.hosts import AggregateHostRow, AggregateRow, ClaimRow, HostRow, RemovedHostRow
from infra.db.types import now
from infra.domain.errors import Conflict, NotFound
from infra.domain.host import DEFAULT_AVAILABILITY_ZONE, Host, HostReport
from infra.domain.inventory import CLASSES, Terms, changed

_NAMESPACE = uuid.UUID("6c1c58c1-6c5b-5c0e-9d9f-1b6f0b1c7d11")
_COLUMNS = tuple(table_of(HostRow).columns)
_NAMES = tuple(column.name for column in _COLUMNS)
_BATCH = 500
_COUNT = select(func.count()).select_from(HostRow)
_PLACES = select(col(AggregateHostRow.host), col(AggregateRow.aggregate_metadata)).join(
    AggregateRow, col(AggregateRow.id) == col(AggregateHostRow.aggregate_id)
)
_SUCCEEDED = (
    update(HostRow)
    .where(col(HostRow.name) == bindparam("of_host"), col(HostRow.build_failures) > 0)
    .values(build_failures=0, generation=col(HostRow.generation) + 1)
)
_HORIZON = select(Horizon())
_CHANGED = select(col(HostRow.name), col(HostRow.changed)).where(col(HostRow.changed) >= bindparam("since"))
_REMOVED = select(col(RemovedHostRow.name)).where(
    col(RemovedHostRow.changed) >= bindparam("since"),
    ~exists().where(col(HostRow.name) == col(RemovedHostRow.name)),
)


def host_id(name: str) -> str:
    """The id a host gets from its name, the same each time it enrols."""
    return str(uuid.uuid5(_NAMESPACE, name))


def enrol(session: Session, report: HostReport, *, id: str | None = None) -> Host:
    """Take a host in, or back in after its worker restarted. It is not ready until ``set_ready`` says so.

    Raises:
        Conflict: the name belongs to a host with another id, or another worker is enrolling it right now.
    """
    row = _row(session, report.name)
    if row is None:
        row = HostRow(id=id or host_id(report.name), name=report.name, created_at=now(), **_of(report, {}))
        session.add(row)
    else:
        if id is not None and row.id != id:
            raise Conflict(f"Host {report.name} is enrolled with another id.")
        for name, value in _of(report, row.terms_set).items():
            setattr(row, name, value)
        row.ready = False
        row.generation += 1
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict(f"Host {report.name} is being enrolled by another worker, or its id is taken.") from error
    return get(session, report.name)


def report(session: Session, report: HostReport) -> bool:
    """Note that a host is alive, and what it has now; False: it has to tidy up before it is ready.

    Raises:
        NotFound: it never enrolled, or was deleted.
    """
    row = session.execute(
        select(col(HostRow.report), col(HostRow.ready)).where(col(HostRow.name) == report.name)
    ).one_or_none()
    if row is None:
        raise NotFound(f"Compute host {report.name} could not be found.")
    known, ready = row
    if known == report.model_dump(mode="json"):
        _update(session, report.name, reported_at=now(), changed=HostRow.changed)
    else:
        # Locked, so that terms which an operator sets meanwhile are not lost.
        locked = _row(session, report.name)
        _change(session, report.name, **_of(report, locked.terms_set if locked is not None else {}))
    return bool(ready)


def set_ready(session: Session, name: str, ready: bool) -> None:
    """Its worker has paid its debts and polls its queues (or does so no more)."""
    _change(session, name, ready=ready)


def enable(session: Session, name: str) -> None:
    _change(session, name, enabled=True, disabled_reason=None)


def disable(session: Session, name: str, reason: str | None = None) -> None:
    _change(session, name, enabled=False, disabled_reason=reason)


def force_down(session: Session, name: str, forced_down: bool) -> None:
    """An operator says that the host is fenced: surely off, whatever its worker reported; or that it is not any more.

    Where that is new its worker has to tidy up before the host is ready.
    """
    row = _row(session, name)
    if row is None:
        raise NotFound(f"Compute host {name} could not be found.")
    if row.forced_down != forced_down:
        _change(session, name, forced_down=forced_down, ready=False)


def is_fenced(session: Session, name: str) -> bool:
    """True also of a host that was removed: it had nothing left that others could miss."""
    row = _row(session, name)
    return row is None or row.forced_down


def build_failed(session: Session, name: str) -> None:
    _change(session, name, build_failures=HostRow.build_failures + 1)


def build_succeeded(session: Session, name: str) -> None:
    """Forget earlier failures; unknown hosts and hosts without any are left alone."""
    run(session, _SUCCEEDED, {"of_host": name})


def remove(session: Session, name: str) -> None:
    """Forget a host and its places in aggregates.

    Raises:
        NotFound: there is none of this name.
        Conflict: servers have claims there.
    """
    row = session.execute(select(HostRow).where(col(HostRow.name) == name).with_for_update()).scalar_one_or_none()
    if row is None:
        raise NotFound(f"Compute host {name} could not be found.")
    if session.execute(select(col(ClaimRow.server_id)).where(col(ClaimRow.host) == name).limit(1)).first():
        raise Conflict(f"Compute host {name} still has servers.")
    ids = select(col(AggregateHostRow.aggregate_id)).where(col(AggregateHostRow.host) == name)
    session.execute(
        update(AggregateRow).where(col(AggregateRow.id).in_(ids)).values(generation=col(AggregateRow.generation) + 1)
    )
    session.execute(delete(AggregateHostRow).where(col(AggregateHostRow.host) == name))
    # Should it come back, it enrols anew and removes all it has.
    debts.forgive(session, name)
    unmended.forget(session, name)
    network_changes.forget(session, name)
    _bury(session, name)
    session.delete(row)


def _bury(session: Session, name: str) -> None:
    # Before the host's row goes: the next number is counted from the latest that is there.
    if session.get(RemovedHostRow, name) is None:
        session.add(RemovedHostRow(name=name))
        session.flush()
    else:
        session.execute(update(RemovedHostRow).where(col(RemovedHostRow.name) == name).values(name=name))


def get(session: Session, name: str) -> Host:
    """Raises NotFound if there is none of this name."""
    found = snapshot(session, (name,))
    if not found:
        raise NotFound(f"Compute host {name} could not be found.")
    return found[0]


def get_by_id(session: Session, id: str) -> Host:
    """Raises NotFound if there is none with this id."""
    name = session.execute(select(col(HostRow.name)).where(col(HostRow.id) == id)).scalar_one_or_none()
    if name is None:
        raise NotFound(f"Compute host {id} could not be found.")
    return get(session, name)


def snapshot(session: Session, names: Collection[str] | None = None) -> list[Host]:
    """All hosts (or those named that exist), by name."""
    query = select(*_COLUMNS).order_by(col(HostRow.name))
    connection = session.connection()
    if names is None:
        rows = connection.execute(query).all()
    else:
        ordered = sorted(set(names))
        batches = [ordered[i : i + _BATCH] for i in range(0, len(ordered), _BATCH)]
        rows = [row for batch in batches for row in connection.execute(query.where(col(HostRow.name).in_(batch))).all()]
    zones = _zones(session)
    return [
        Host.model_validate(
            {**dict(zip(_NAMES, row, strict=True)), "availability_zone": zones.get(row.name, DEFAULT_AVAILABILITY_ZONE)}
        )
        for row in rows
    ]


def zones(session: Session) -> set[str]:
    """Availability zones that hosts are in, disabled hosts too."""
    named = _zones(session)
    count = int(run(session, _COUNT, {}).scalar_one())
    return set(named.values()) | ({DEFAULT_AVAILABILITY_ZONE} if count > len(named) else set())


@dataclass(frozen=True)
class Changes:
    """What became of hosts since some moment, and may be known already."""

    horizon: int
    """Where to read on."""
    changed: dict[str, int]
    """Hosts to the number of their latest change."""
    removed: frozenset[str]


def changes(session: Session, since: int) -> Changes:
    """Hosts that changed or went since the ``horizon`` of an earlier call (-1: all there are)."""
    connection = session.connection()
    # First: what is written between the two is read twice rather than never.
    horizon = connection.execute(_HORIZON).scalar_one()
    changed = {row[0]: row[1] for row in connection.execute(_CHANGED, {"since": since})}
    removed = connection.execute(_REMOVED, {"since": since}).scalars().all()
    return Changes(horizon, changed, frozenset(removed))


def silent(session: Session, since: datetime) -> dict[str, datetime]:
    """Last report of the hosts that have sent none ``since`` then."""
    rows = session.execute(select(col(HostRow.name), col(HostRow.reported_at)).where(col(HostRow.reported_at) < since))
    return {row[0]: row[1] for row in rows}


def _zones(session: Session) -> dict[str, str]:
    rows = run(session, _PLACES, {})
    named = ((row.host, row.aggregate_metadata.get("availability_zone")) for row in rows)
    return {host: zone for host, zone in named if zone}


def _row(session: Session, name: str) -> HostRow | None:
    return session.execute(select(HostRow).where(col(HostRow.name) == name).with_for_update()).scalar_one_or_none()


def _of(report: HostReport, terms_set: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "report": report.model_dump(mode="json"),
        "reported_at": now(),
        **terms_columns(changed(report.inventory.terms, terms_set)),
    }


def terms_columns(terms: Mapping[str, Terms]) -> dict[str, int]:
    """What claims look at of the terms on which a host gives out its resources."""
    found: dict[str, int] = {}
    for name, column in CLASSES.items():
        found[column] = terms[name].max_unit
        found |= {f"{column}_{part}": getattr(terms[name], part) for part in ("min_unit", "step_size", "capacity")}
    return found


def _change(session: Session, name: str, **values: Any) -> None:
    _update(session, name, generation=col(HostRow.generation) + 1, **values)


def _update(session: Session, name: str, **values: Any) -> None:
    statement: Update = update(HostRow).where(col(HostRow.name) == name).values(**values)
    if session.connection().execute(statement).rowcount == 0:
        raise NotFound(f"Compute host {name} could not be found.")
