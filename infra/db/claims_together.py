"""Many claims in one transaction of PostgreSQL: each statement there is a round trip, each commit a wait for the disk.

Only the usual claim: of a server in no group, without NUMA cells, on a host that takes it. What this does not grant it
leaves as it was, for ``claims.claim`` to say why.
"""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict
from sqlalchemy import (
    ColumnElement,
    Integer,
    bindparam,
    column,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import make_url
from sqlmodel import Session

from infra.db import claim_statements as sql
from infra.db import explanations
from infra.db.claims import Granted
from infra.db.statements import table_of
from infra.db.tables.hosts import PlacementExplanationRow, ServerGroupMemberRow
from infra.domain.host import Claim


class Asked(BaseModel):
    """One of them, and why on that host."""

    model_config = ConfigDict(frozen=True)

    claim: Claim
    explanation: dict[str, Any]


def claim(session: Session, asked: Sequence[Asked]) -> list[Granted | None]:
    """Take room for each, as far as it can be had without a second look.

    Args:
        asked: for as many different servers; of several that want the same host the statement serves one.

    Returns:
        What each got, in their order; None: nothing was done for it.
    """
    # In one order everywhere: servers, then hosts, each by name, so that no two transactions wait for each other.
    servers = sorted(each.claim.server_id for each in asked)
    wanted = [{**each.claim.model_dump(mode="json"), "explanation": each.explanation} for each in asked]
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    # Sent in one go, past SQLAlchemy, which would wait for each answer.
    with connection.pipeline():
        connection.execute(_LOCK_SERVERS, {"some_servers": servers})
        if len(asked) > 1:
            connection.execute(_LOCK_HOSTS, {"some_hosts": [each.claim.host for each in asked]})
        rows = connection.execute(_CLAIM, {**_CONSTANTS, "some_claims": Jsonb(wanted)}).fetchall()
    totals = {server_id: dict(zip(sql.TOTALS, amounts, strict=True)) for server_id, *amounts in rows}
    return [
        Granted(each.claim, totals[each.claim.server_id]) if each.claim.server_id in totals else None for each in asked
    ]


_LOCK_SERVERS = "SELECT pg_advisory_xact_lock(hashtextextended(id, 0)) FROM unnest(%(some_servers)s::text[]) AS id"
_LOCK_HOSTS = "SELECT FROM hosts WHERE name = ANY(%(some_hosts)s) ORDER BY name FOR NO KEY UPDATE"
_EXPLANATION = table_of(PlacementExplanationRow)
_MEMBER = table_of(ServerGroupMemberRow)
_COLUMNS = [column(each.name, each.type) for each in sql.CLAIM.columns]
_wanted = (
    func.jsonb_to_recordset(bindparam("some_claims", type_=JSONB))
    .table_valued(*_COLUMNS, column("explanation", JSONB))
    .alias("wanted")
    .render_derived(with_types=True)
)
_closed = exists().where(
    sql.CLOSED.c.server_id == _wanted.c.server_id,
    or_(sql.CLOSED.c.attempt == _wanted.c.attempt, sql.CLOSED.c.attempt == sql.EVERY_ATTEMPT),
)
_held = exists().where(sql.CLAIM.c.server_id == _wanted.c.server_id, sql.CLAIM.c.attempt == _wanted.c.attempt)
_grouped = exists().where(_MEMBER.c.server_id == _wanted.c.server_id)
_usual = select(_wanted).where(~_closed, ~_held, ~_grouped).cte("usual")


def _each(name: str) -> ColumnElement[int]:
    return literal_column("1", Integer) if name == "servers" else _usual.c[name]


_took = (
    update(sql.HOST)
    .where(sql.HOST.c.name == _usual.c.host, sql.has_room(_each))
    .values(sql.counted(_each))
    .returning(_usual.c.server_id.label("server_id"), *(sql.HOST.c[name] for name in sql.TOTALS))
    .cte("took")
)
_taken = _usual.c.server_id == _took.c.server_id
_made = (
    insert(sql.CLAIM)
    .from_select([each.name for each in _COLUMNS], select(*(_usual.c[each.name] for each in _COLUMNS)).where(_taken))
    .cte("made")
)
_explained = select(_usual.c.server_id, _usual.c.attempt, _usual.c.explanation).where(_taken)
_kept = explanations.keeping(_explained).cte("kept")
_compiled = select(_took).add_cte(_made, _kept).compile(dialect=make_url("postgresql+psycopg://").get_dialect()())
_CLAIM = str(_compiled)
_CONSTANTS = {name: value for name, value in _compiled.params.items() if value is not None}
