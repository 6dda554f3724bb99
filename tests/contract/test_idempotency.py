import pytest

from infra.db import claims, idempotency
from infra.db.engine import Database
from infra.domain.errors import Conflict


def test_a_repeat_finds_its_own_earlier_work(database: Database) -> None:
    assert database.write_now(idempotency.first_use, "s/1/port", "p1") is None
    assert database.write_now(idempotency.first_use, "s/1/port", "p2") == "p1"


def test_a_buried_key_refuses_a_late_request(database: Database) -> None:
    database.write_now(idempotency.first_use, "s/1/port", "p1")
    assert database.write_now(idempotency.bury, "s/1/port") == "p1"
    with pytest.raises(Conflict):
        database.write_now(idempotency.first_use, "s/1/port", "p1")


def test_a_key_can_be_buried_before_its_first_use(database: Database) -> None:
    assert database.write_now(idempotency.bury, "s/1/port") is None
    with pytest.raises(Conflict):
        database.write_now(idempotency.first_use, "s/1/port", "p1")


def test_an_attempt_that_is_closed_begins_nothing_more(database: Database) -> None:
    """Nobody looks for its effects any more; what was made in it before is still found by a repeat."""
    database.write_now(idempotency.first_use, "s/1/port", "p1")
    database.write_now(claims.release, "s", 1)
    with pytest.raises(Conflict) as refused:
        database.write_now(idempotency.first_use, "s/1/attach", "a1")
    assert refused.value.kind == "AttemptClosed"
    assert database.write_now(idempotency.first_use, "s/1/port", "p1") == "p1"
    assert database.write_now(idempotency.first_use, "s/2/port", "p2") is None
    assert database.write_now(idempotency.first_use, "s/volume/v", "v") is None


def test_a_server_that_is_over_gets_nothing_more(database: Database) -> None:
    database.write_now(claims.release_all, "s")
    for key in ("s/7/port", "s/volume/v"):
        with pytest.raises(Conflict):
            database.write_now(idempotency.first_use, key, "x")
