"""What is asked again and again is read from an index of the few rows that it is about, on both databases."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlmodel import Session

from infra.db import interfaces, pruning, repairs, servers, snapshots, stuck_undos, volumes
from infra.db.engine import Database
from infra.db.types import now
from infra.domain.server import TaskState, VmState
from tests.contract.servers_help import server

READS: dict[str, tuple[Callable[[Session], Any], str]] = {
    "servers that are held": (lambda session: repairs.held_servers(session, now()), "ix_servers_held"),
    "attachments that are held": (
        lambda session: repairs.held_attachments(session, now()),
        "ix_volume_attachments_held",
    ),
    "interfaces that are held": (lambda session: interfaces.held(session, now()), "ix_interface_changes_since"),
    "servers with a stuck undo": (stuck_undos.find, "ix_servers_stuck"),
    "volumes that wait for work": (volumes.pending, "ix_volumes_status"),
    "snapshots that wait for work": (snapshots.pending, "ix_volume_snapshots_status"),
    "servers deleted long ago": (lambda session: pruning._servers(session, now()), "ix_servers_deleted"),
}


@pytest.mark.parametrize("name", READS)
def test_it_is_read_from_its_index(database: Database, name: str) -> None:
    long_ago = now() - timedelta(hours=1)
    database.write_now(
        servers.insert, server(long_ago, vm_state=VmState.BUILDING, task_state=TaskState.SPAWNING, op="req-1")
    )
    read, index = READS[name]
    plans = _plans(database, read)
    assert index in plans, plans


def _plans(database: Database, read: Callable[[Session], Any]) -> str:
    """Of every query that it sends, as the database tells them."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            sent.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        database.read_now(read)
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    sqlite = database.engine.dialect.name == "sqlite"
    with database.engine.connect() as connection:
        if not sqlite:
            # With so few rows it would read them all.
            connection.execute(text("SET enable_seqscan = off"))
        how = "EXPLAIN QUERY PLAN" if sqlite else "EXPLAIN"
        rows = [connection.exec_driver_sql(f"{how} {query}", values).all() for query, values in sent]
    return "\n".join(str(row[-1]) for found in rows for row in found)
