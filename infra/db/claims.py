"""Claims: what servers hold of hosts. The only writer of claims and of the ``*_claimed`` columns of hosts.

A claim checks capacity and the server group's policy and inserts in one transaction, with the server, the group and
the host locked in that order, so that no number of schedulers overcommits a host or breaks a policy. (On SQLite
every writing transaction has the database to itself.) Claims are numbered by attempt; a closed attempt stays closed.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, tuple_, update
from sqlmodel import Session, col

from infra.db import claim_statements as sql
from infra.db import claimed_parts, explanations
from infra.db.tables.hosts import ClaimRow, ServerGroupMemberRow, ServerGroupRow
from infra.db.tables.servers import ServerRow
from infra.db.types import now
from infra.domain.errors import ClaimLost, Conflict, Fenced
from infra.domain.fitting import Wish
from infra.domain.host import Claim

_NOTHING = Wish()


@dataclass(frozen=True)
class Granted:
    """A claim that is held."""

    claim: Claim
    totals: dict[str, int] | None
    """``TOTALS`` of its host after it; None if an earlier call made it, or if they are not all that it changed."""


def claim(
    session: Session,
    wanted: Claim,
    wish: Wish = _NOTHING,
    explanation: dict[str, Any] | None = None,
) -> Granted:
    """Take room on a host for one attempt of a server.

    Args:
        explanation: why this host, kept with the claim.
        wish: what the server asks of the host's parts; the claim says which it got.

    Returns:
        The claim this attempt holds: the one wanted, or the one that an earlier call with this attempt got.

    Raises:
        Fenced: the attempt was closed, or the server is gone.
        ClaimLost: the host has no room, may not take the server, or the group's policy forbids it.
    """
    _lock_server(session, wanted.server_id)
    connection = session.connection()
    closed, held, group_id = connection.execute(sql.BEFORE, _attempt_of(wanted.server_id, wanted.attempt)).one()
    if closed:
        raise Fenced(f"Attempt {wanted.attempt} of server {wanted.server_id} is closed.")
    if held:
        mine = get(session, wanted.server_id, wanted.attempt)
        assert mine is not None
        return Granted(mine, None)
    if group_id is not None:
        _check_group(session, group_id, wanted)
    taken = connection.execute(sql.TAKE, _amounts(wanted, 1)).mappings().first()
    if taken is None:
        raise ClaimLost(_reason(session, wanted))
    if wish:
        placed = claimed_parts.place(session, wanted.host, wish)
        wanted = wanted.model_copy(update={"numa": placed.cells, "pci": placed.devices})
    connection.execute(sql.INSERT, wanted.model_dump())
    if explanation is not None:
        explanations.keep(session, wanted.server_id, wanted.attempt, explanation)
    if not wish:
        return Granted(wanted, dict(taken))
    claimed_parts.recount(session, wanted.host)
    return Granted(wanted, None)


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
    _close(session, server_id, sql.EVERY_ATTEMPT)
    explanations.forget(session, server_id)
    held = [claim for claim in of_server(session, server_id) if not claim.quarantined]
    # By host name, so that two transactions never wait for each other's hosts.
    for claim in sorted(held, key=lambda claim: claim.host):
        _give_back(session, claim)
    return held


def pass_on(session: Session, server_id: str, attempt: int, to_attempt: int, properties: dict[str, str]) -> None:
    """What an attempt holds is a later one's on the same host, whose image has these properties; close the first."""
    _lock_server(session, server_id)
    _close(session, server_id, attempt)
    held = get(session, server_id, attempt)
    if held is not None:
        session.execute(_where(update(ClaimRow), held).values(attempt=to_attempt, image_properties=properties))


def renumber(session: Session, server_id: str, attempt: int, to_attempt: int) -> None:
    """What an attempt holds is another one's on the same host, and may be the first one's again: neither is closed."""
    _lock_server(session, server_id)
    held = get(session, server_id, attempt)
    if held is not None:
        session.execute(_where(update(ClaimRow), held).values(attempt=to_attempt, quarantined=False))


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
    row = session.connection().execute(sql.ONE_CLAIM, _attempt_of(server_id, attempt)).mappings().first()
    return None if row is None else Claim.model_validate(dict(row))


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


def recount(session: Session, host: str) -> bool:
    """Make what is counted as claimed of a host what its claims say; True where it was not."""
    locked = select(sql.HOST).where(sql.HOST.c.name == host).with_for_update()
    row = session.connection().execute(locked).mappings().first()
    if row is None:
        return False
    held = of_host(session, host)
    true: dict[str, Any] = {f"{name}_claimed": sum(getattr(claim, name) for claim in held) for name in sql.RESOURCES}
    true |= {"servers": len(held), **claimed_parts.used(held)}
    if all(row[name] == value for name, value in true.items()):
        return False
    changed = update(sql.HOST).where(sql.HOST.c.name == host)
    session.connection().execute(changed.values(**true, generation=sql.HOST.c.generation + 1))
    return True


def forget_closed(session: Session, before: datetime, limit: int) -> int:
    """Drop tombstones older than any activity that could still run; returns how many."""
    key = sql.CLOSED.c.server_id, sql.CLOSED.c.attempt
    old = session.connection().execute(select(*key).where(sql.CLOSED.c.closed_at < before).limit(limit)).all()
    session.connection().execute(delete(sql.CLOSED).where(tuple_(*key).in_([tuple(row) for row in old])))
    return len(old)


def require_open(session: Session, server_id: str, attempt: int) -> None:
    """Keep the attempt from being closed until the transaction ends; 0: any attempt at the server.

    Raises:
        Conflict: AttemptClosed.
    """
    _lock_server(session, server_id, shared=True)
    if session.connection().execute(sql.IS_CLOSED, _attempt_of(server_id, attempt)).first() is not None:
        raise Conflict(f"Attempt {attempt} at server {server_id} is over.", kind="AttemptClosed")


def _lock_server(session: Session, server_id: str, *, shared: bool = False) -> None:
    # A tombstone and the claim it must stop are different rows that may both not exist yet.
    if _is_postgresql(session):
        session.connection().execute(sql.LOCK_SHARED if shared else sql.LOCK, {"a_server": server_id})


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _attempt_of(server_id: str, attempt: int) -> dict[str, Any]:
    return {"a_server": server_id, "an_attempt": attempt}


def _close(session: Session, server_id: str, attempt: int) -> None:
    sql.TOMBSTONE.add(session, {"server_id": server_id, "attempt": attempt, "closed_at": now()})


def _check_group(session: Session, group_id: str, wanted: Claim) -> None:
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


def _reason(session: Session, wanted: Claim) -> str:
    """Why a host did not take a claim, as far as can be told a moment later."""
    row = session.connection().execute(sql.ROOM, {"a_host": wanted.host}).mappings().first()
    if row is None or not row["enabled"] or not row["ready"] or row["forced_down"]:
        return f"Host {wanted.host} takes no servers now."
    for name in sql.RESOURCES:
        asked = getattr(wanted, name)
        free = min(row[f"{name}_capacity"] - row[f"{name}_claimed"], row[name])
        if asked and asked > free:
            return f"Host {wanted.host} has no room: {asked} {name} asked, {max(free, 0)} left."
    return f"Host {wanted.host} had no room a moment ago, or does not give out such amounts."


def _give_back(session: Session, held: Claim) -> None:
    session.execute(_where(delete(ClaimRow), held))
    _count(session, held, -1)
    if held.numa or held.pci:
        claimed_parts.recount(session, held.host)


def _count(session: Session, claim: Claim, sign: int) -> None:
    session.connection().execute(sql.COUNT, _amounts(claim, sign))


def _amounts(claim: Claim, sign: int) -> dict[str, Any]:
    amounts = {f"more_{name}": sign * getattr(claim, name) for name in sql.RESOURCES}
    return {"a_host": claim.host, "more_servers": sign, **amounts}


def _where(statement: Any, claim: Claim) -> Any:
    return statement.where(col(ClaimRow.server_id) == claim.server_id, col(ClaimRow.attempt) == claim.attempt)


def _claims(session: Session, *where: Any) -> list[Claim]:
    query = select(sql.CLAIM).where(*where).order_by(sql.CLAIM.c.server_id, sql.CLAIM.c.attempt)
    return [Claim.model_validate(dict(row)) for row in session.connection().execute(query).mappings()]
