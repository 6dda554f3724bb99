"""Claims: what servers hold of hosts. The only writer of claims and of the ``*_claimed`` columns of hosts.

A claim checks capacity and the server group's policy and inserts in one transaction, with the server, the group and
the host locked in that order, so that no number of schedulers overcommits a host or breaks a policy. (On SQLite
every writing transaction has the database to itself.) Claims are numbered by attempt; a closed attempt stays closed.
"""

from collections import Counter
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlmodel import Session, col

from infra.db.tables.hosts import ClaimRow, ClosedAttemptRow, HostRow, ServerGroupMemberRow, ServerGroupRow
from infra.db.tables.servers import ServerRow
from infra.db.types import now
from infra.domain.errors import ClaimLost, Fenced
from infra.domain.host import Claim

_EVERY_ATTEMPT = -1
"""Tombstone of a server that is gone: attempts of it that were never tried are closed too."""
_CLAIM_COLUMNS = tuple(ClaimRow.__table__.columns)  # type: ignore[attr-defined]


def claim(session: Session, wanted: Claim) -> Claim:
    """Take room on a host for one attempt of a server.

    Returns:
        The claim this attempt holds: the one wanted, or the one that an earlier call with this attempt got.

    Raises:
        Fenced: the attempt was closed, or the server is gone.
        ClaimLost: the host has no room, may not take the server, or the group's policy forbids it.
    """
    _lock_server(session, wanted.server_id)
    if _is_closed(session, wanted.server_id, wanted.attempt):
        raise Fenced(f"Attempt {wanted.attempt} of server {wanted.server_id} is closed.")
    held = get(session, wanted.server_id, wanted.attempt)
    if held is not None:
        return held
    _check_group(session, wanted)
    _take(session, wanted)
    session.add(ClaimRow(**wanted.model_dump()))
    session.flush()
    return wanted


def release(session: Session, server_id: str, attempt: int) -> Claim | None:
    """Close an attempt for good and give back what it holds; nothing held is success.

    Returns:
        The claim given back, quarantined or not, or None.
    """
    _lock_server(session, server_id)
    _close(session, server_id, attempt)
    held = get(session, server_id, attempt)
    if held is not None:
        _give_back(session, held)
    return held


def release_all(session: Session, server_id: str) -> list[Claim]:
    """Close every attempt of a server, future ones too, and give back what they hold but for quarantined claims."""
    _lock_server(session, server_id)
    _close(session, server_id, _EVERY_ATTEMPT)
    held = [claim for claim in of_server(session, server_id) if not claim.quarantined]
    # By host name, so that two transactions never wait for each other's hosts.
    for claim in sorted(held, key=lambda claim: claim.host):
        _give_back(session, claim)
    return held


def quarantine(session: Session, server_id: str, attempt: int) -> Claim | None:
    """Close an attempt, but keep its room: the host could not confirm that the guest is gone.

    ``release`` of the attempt ends it, when the host pays its debt or an operator declares it fenced.
    """
    _lock_server(session, server_id)
    _close(session, server_id, attempt)
    held = get(session, server_id, attempt)
    if held is None or held.quarantined:
        return held
    session.execute(_where(update(ClaimRow), held).values(quarantined=True))
    return held.model_copy(update={"quarantined": True})


def get(session: Session, server_id: str, attempt: int) -> Claim | None:
    rows = _claims(session, col(ClaimRow.server_id) == server_id, col(ClaimRow.attempt) == attempt)
    return rows[0] if rows else None


def of_server(session: Session, server_id: str) -> list[Claim]:
    """By attempt, quarantined ones too."""
    return _claims(session, col(ClaimRow.server_id) == server_id)


def of_host(session: Session, host: str) -> list[Claim]:
    return _claims(session, col(ClaimRow.host) == host)


def everywhere(session: Session) -> list[Claim]:
    """All claims there are: for comparisons and proofs, not for requests."""
    return _claims(session)


def hosts_of(session: Session, server_ids: Collection[str]) -> dict[str, str]:
    """Where servers are: the host of each one's latest attempt that is not quarantined."""
    rows = _claims(session, col(ClaimRow.server_id).in_(server_ids), col(ClaimRow.quarantined).is_(False))
    return {claim.server_id: claim.host for claim in rows}


def of_project(session: Session, project_id: str, user_id: str | None = None) -> list[Claim]:
    """Claims of a project's servers, or of one user's servers there."""
    servers = select(col(ServerRow.id)).where(col(ServerRow.project_id) == project_id)
    if user_id is not None:
        servers = servers.where(col(ServerRow.user_id) == user_id)
    return _claims(session, col(ClaimRow.server_id).in_(servers))


def image_properties(session: Session, hosts: Collection[str] | None = None) -> dict[str, Counter[tuple[str, str]]]:
    """How many servers of each host have each (property, value) of their image."""
    query = select(col(ClaimRow.host), col(ClaimRow.image_properties))
    if hosts is not None:
        query = query.where(col(ClaimRow.host).in_(hosts))
    found: dict[str, Counter[tuple[str, str]]] = {}
    for host, properties in session.execute(query):
        found.setdefault(host, Counter()).update(properties.items())
    return found


def forget_closed(session: Session, before: datetime) -> int:
    """Drop tombstones older than any activity that could still run; returns how many."""
    statement = delete(ClosedAttemptRow).where(col(ClosedAttemptRow.closed_at) < before)
    return session.connection().execute(statement).rowcount


def _lock_server(session: Session, server_id: str) -> None:
    # A tombstone and the claim it must stop are different rows that may both not exist yet.
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(server_id, 0))))


def _is_closed(session: Session, server_id: str, attempt: int) -> bool:
    query = select(col(ClosedAttemptRow.attempt)).where(
        col(ClosedAttemptRow.server_id) == server_id, col(ClosedAttemptRow.attempt).in_((attempt, _EVERY_ATTEMPT))
    )
    return session.execute(query.limit(1)).first() is not None


def _close(session: Session, server_id: str, attempt: int) -> None:
    if session.get(ClosedAttemptRow, (server_id, attempt)) is None:
        session.add(ClosedAttemptRow(server_id=server_id, attempt=attempt, closed_at=now()))
        session.flush()


def _check_group(session: Session, wanted: Claim) -> None:
    query = select(col(ServerGroupMemberRow.group_id)).where(col(ServerGroupMemberRow.server_id) == wanted.server_id)
    group_id = session.execute(query).scalar_one_or_none()
    if group_id is None:
        return
    locked = select(col(ServerGroupRow.policy), col(ServerGroupRow.max_server_per_host))
    row = session.execute(locked.where(col(ServerGroupRow.id) == group_id).with_for_update()).first()
    if row is None or row.policy not in ("affinity", "anti-affinity"):
        return
    others = [c for c in of_group(session, group_id) if c.server_id != wanted.server_id]
    if row.policy == "anti-affinity":
        # Quarantined claims count: the guest may still be running.
        there = {c.server_id for c in others if c.host == wanted.host}
        if len(there) >= row.max_server_per_host:
            raise ClaimLost(f"Anti-affinity of server group {group_id} forbids host {wanted.host}.")
        return
    hosts = {c.host for c in others if not c.quarantined}
    if hosts and wanted.host not in hosts:
        raise ClaimLost(f"Affinity of server group {group_id} forbids host {wanted.host}.")


def of_group(session: Session, group_id: str) -> list[Claim]:
    """Claims of a server group's members."""
    members = select(col(ServerGroupMemberRow.server_id)).where(col(ServerGroupMemberRow.group_id) == group_id)
    return _claims(session, col(ClaimRow.server_id).in_(members))


def _take(session: Session, wanted: Claim) -> None:
    row = (
        session.execute(
            select(
                *(HostRow.__table__.columns[name] for name in _CHECKED)  # type: ignore[attr-defined]
            )
            .where(col(HostRow.name) == wanted.host)
            .with_for_update()
        )
        .mappings()
        .first()
    )
    if row is None or not row["enabled"] or not row["ready"] or row["forced_down"]:
        raise ClaimLost(f"Host {wanted.host} takes no servers now.")
    for name in _RESOURCES:
        asked = getattr(wanted, name)
        free = min(row[f"{name}_capacity"] - row[f"{name}_claimed"], row[name])
        if asked > free:
            raise ClaimLost(f"Host {wanted.host} has no room: {asked} {name} asked, {max(free, 0)} left.")
    _add(session, wanted, 1)


_RESOURCES = ("vcpus", "memory_mb", "disk_gb")
_CHECKED = (
    "enabled",
    "ready",
    "forced_down",
    *(f"{name}{suffix}" for name in _RESOURCES for suffix in ("", "_capacity", "_claimed")),
)


def _give_back(session: Session, held: Claim) -> None:
    session.execute(_where(delete(ClaimRow), held))
    _add(session, held, -1)


def _add(session: Session, claim: Claim, sign: int) -> None:
    table = HostRow.__table__.columns  # type: ignore[attr-defined]
    amounts = {f"{name}_claimed": table[f"{name}_claimed"] + sign * getattr(claim, name) for name in _RESOURCES}
    session.execute(
        update(HostRow)
        .where(col(HostRow.name) == claim.host)
        .values(**amounts, servers=table["servers"] + sign, generation=table["generation"] + 1)
    )


def _where(statement: Any, claim: Claim) -> Any:
    return statement.where(col(ClaimRow.server_id) == claim.server_id, col(ClaimRow.attempt) == claim.attempt)


def _claims(session: Session, *where: Any) -> list[Claim]:
    query = select(*_CLAIM_COLUMNS).where(*where).order_by(col(ClaimRow.server_id), col(ClaimRow.attempt))
    return [Claim.model_validate(dict(row)) for row in session.execute(query).mappings()]
