import pytest

from infra.db import idempotency
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
