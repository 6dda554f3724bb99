"""Statements of claims, made once: SQLAlchemy takes longer to make one than SQLite to run it."""

from collections.abc import Callable

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    and_,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlmodel import col

from infra.db.statements import Addition, table_of
from infra.db.tables.hosts import ClaimRow, ClosedAttemptRow, HostRow, ServerGroupMemberRow

Asked = Callable[[str], ColumnElement[int]]

EVERY_ATTEMPT = -1
"""Tombstone of a server that is gone: attempts of it that were never tried are closed too."""
RESOURCES = ("vcpus", "memory_mb", "disk_gb", "pcpus")
TOTALS = (*(f"{name}_claimed" for name in RESOURCES), "servers", "generation", "changed")
"""Columns of a host that every claim changes."""

HOST = table_of(HostRow)
CLAIM = table_of(ClaimRow)
CLOSED = table_of(ClosedAttemptRow)
_server: BindParameter[str] = bindparam("a_server")
_attempt: BindParameter[int] = bindparam("an_attempt")
_name: BindParameter[str] = bindparam("a_host")
_OF_THE_ATTEMPT = and_(CLAIM.c.server_id == _server, CLAIM.c.attempt == _attempt)
ONE_CLAIM = select(CLAIM).where(_OF_THE_ATTEMPT)
_CLOSES = and_(CLOSED.c.server_id == _server, or_(CLOSED.c.attempt == _attempt, CLOSED.c.attempt == EVERY_ATTEMPT))
IS_CLOSED = select(CLOSED.c.attempt).where(_CLOSES)
BEFORE = select(
    exists().where(_CLOSES).label("closed"),
    exists().where(_OF_THE_ATTEMPT).label("held"),
    select(col(ServerGroupMemberRow.group_id))
    .where(col(ServerGroupMemberRow.server_id) == _server)
    .scalar_subquery()
    .label("group_id"),
)
LOCK = select(func.pg_advisory_xact_lock(func.hashtextextended(_server, 0)))
LOCK_SHARED = select(func.pg_advisory_xact_lock_shared(func.hashtextextended(_server, 0)))
ROOM = select(
    HOST.c.enabled,
    HOST.c.ready,
    HOST.c.forced_down,
    *(HOST.c[f"{name}{suffix}"] for name in RESOURCES for suffix in ("", "_capacity", "_claimed")),
).where(HOST.c.name == _name)


def counted(asked: Asked) -> dict[str, ColumnElement[int]]:
    """New values of a host's columns after a claim; ``asked`` is how much of each resource, and ``servers``."""
    return {
        **{f"{name}_claimed": HOST.c[f"{name}_claimed"] + asked(name) for name in RESOURCES},
        "servers": HOST.c.servers + asked("servers"),
        "generation": HOST.c.generation + 1,
    }


def has_room(asked: Asked) -> ColumnElement[bool]:
    """Whether a host takes a claim. In an UPDATE it checks and takes at once: the row that is locked is looked at
    again, whatever was committed since the statement began."""
    return and_(
        HOST.c.enabled,
        HOST.c.ready,
        ~HOST.c.forced_down,
        *(
            or_(
                asked(name) == 0,
                and_(
                    HOST.c[f"{name}_claimed"] + asked(name) <= HOST.c[f"{name}_capacity"],
                    asked(name) <= HOST.c[name],
                    asked(name) >= HOST.c[f"{name}_min_unit"],
                    asked(name) % HOST.c[f"{name}_step_size"] == 0,
                ),
            )
            for name in RESOURCES
        ),
    )


def _one(name: str) -> ColumnElement[int]:
    return bindparam(f"more_{name}", type_=Integer)


COUNT = update(HOST).where(HOST.c.name == _name).values(counted(_one))
TAKE = COUNT.where(has_room(_one)).returning(*(HOST.c[name] for name in TOTALS))
INSERT = insert(CLAIM)
TOMBSTONE = Addition(ClosedAttemptRow)
