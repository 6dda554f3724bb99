"""Statements of claims, made once: SQLAlchemy takes longer to make one than SQLite to run it."""

from sqlalchemy import (
    BindParameter,
    Boolean,
    and_,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlmodel import col

from infra.db import explanations
from infra.db.statements import Addition, table_of
from infra.db.tables.hosts import ClaimRow, ClosedAttemptRow, HostRow, ServerGroupMemberRow

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
COUNT = (
    update(HOST)
    .where(HOST.c.name == _name)
    .values(
        {
            **{f"{name}_claimed": HOST.c[f"{name}_claimed"] + bindparam(f"more_{name}") for name in RESOURCES},
            "servers": HOST.c.servers + bindparam("more_servers"),
            "generation": HOST.c.generation + 1,
        }
    )
)
# Checks and takes at once: the row that is locked is looked at again, whatever was committed since the statement began.
TAKE = COUNT.where(
    HOST.c.enabled,
    HOST.c.ready,
    ~HOST.c.forced_down,
    *(
        or_(
            bindparam(f"more_{name}") == 0,
            and_(
                HOST.c[f"{name}_claimed"] + bindparam(f"more_{name}") <= HOST.c[f"{name}_capacity"],
                bindparam(f"more_{name}") <= HOST.c[name],
                bindparam(f"more_{name}") >= HOST.c[f"{name}_min_unit"],
                bindparam(f"more_{name}") % HOST.c[f"{name}_step_size"] == 0,
            ),
        )
        for name in RESOURCES
    ),
).returning(*(HOST.c[name] for name in TOTALS))
INSERT = insert(CLAIM)
TOMBSTONE = Addition(ClosedAttemptRow)
# On PostgreSQL, where each statement is a round trip, the usual claim is one: of a server in no group.
_before = BEFORE.cte("before")
_usual = select(true()).where(~_before.c.closed, ~_before.c.held, _before.c.group_id.is_(None))
_took = TAKE.where(_usual.exists()).cte("took")
_new = [bindparam(f"new_{column.name}", type_=column.type) for column in CLAIM.columns]
_made = insert(CLAIM).from_select(CLAIM.columns.keys(), select(*_new).select_from(_took)).cte("made")
_explained = explanations.VALUES.select_from(_took).where(bindparam("explained", type_=Boolean))
_kept = explanations.keeping(_explained).cte("kept")
AT_ONCE = select(*(_took.c[name] for name in TOTALS)).add_cte(_made, _kept)
