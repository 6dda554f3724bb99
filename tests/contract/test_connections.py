"""A server that drops its connections costs nobody a request, and nothing is written twice."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from infra.db import hosts
from infra.db.engine import Database
from tests.contract.hosts_help import add

pytestmark = pytest.mark.postgresql


def _drop_others(session: Session) -> None:
    everyone = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    session.execute(text(f"{everyone} AND pid <> pg_backend_pid()"))


def _drop(database: Database) -> None:
    other = Database(database.url)
    other.write_now(_drop_others)
    other.close()


def test_connections_that_were_dropped_while_idle_are_made_anew(postgresql_database: Database) -> None:
    db = postgresql_database
    add(db, "a")
    _drop(db)
    assert [host.name for host in db.read_now(hosts.snapshot)] == ["a"]
    _drop(db)
    db.write_now(hosts.disable, "a")
    assert not db.read_now(hosts.get, "a").enabled


def test_a_transaction_that_lost_its_connection_is_run_again_from_its_start(postgresql_database: Database) -> None:
    db = postgresql_database
    add(db, "a")
    failures = db.read_now(hosts.get, "a").build_failures
    runs: list[int] = []

    def work(session: Session) -> None:
        runs.append(1)
        hosts.build_failed(session, "a")
        if len(runs) == 1:
            _drop(db)
        hosts.build_failed(session, "a")

    db.write_now(work)
    assert len(runs) == 2
    assert db.read_now(hosts.get, "a").build_failures == failures + 2


def test_a_commit_that_was_lost_is_reported_and_not_repeated(postgresql_database: Database) -> None:
    db = postgresql_database
    add(db, "a")
    runs: list[int] = []

    def work(session: Session) -> None:
        runs.append(1)
        hosts.build_failed(session, "a")
        _drop(db)

    with pytest.raises(DBAPIError):
        db.write_now(work)
    assert len(runs) == 1
