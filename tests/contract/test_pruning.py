"""What is gone for long goes for good, and nothing else, on both databases."""

import uuid
from datetime import timedelta
from typing import Any

import pytest

from infra.db import actions, claims, debts, idempotency, pruning, servers, volumes
from infra.db.engine import Database
from infra.db.tables.servers import ActionRow
from infra.db.types import now
from infra.domain.server import VmState
from infra.domain.volume import Volume
from tests.contract.servers_help import server
from workers import sweeper

DAY = timedelta(days=1)


def _server(database: Database, **fields: Any) -> str:
    made = server(now() - 200 * DAY, **fields)
    database.write_now(servers.insert, made)
    database.write_now(actions.start, made, f"req-{made.id}", "create", "u")
    return made.id


def _deleted(database: Database, days: int) -> str:
    return _server(database, vm_state=VmState.DELETED, deleted_at=now() - days * DAY)


def test_deleted_servers_go_after_a_quarter_with_all_that_is_said_of_them(database: Database) -> None:
    old, young, alive = _deleted(database, 91), _deleted(database, 89), _server(database, vm_state=VmState.ERROR)
    owing = _deleted(database, 91)
    database.write_now(debts.owe, debts.Debt(host="a", server_id=owing, attempt=1, what="w"))
    assert database.write_now(pruning.prune) == 1
    known = {one for one in (old, young, alive, owing) if database.read_now(servers.find, one) is not None}
    assert known == {young, alive, owing}
    assert database.read_now(lambda session: session.get(ActionRow, (old, f"req-{old}"))) is None
    assert database.read_now(lambda session: session.get(ActionRow, (young, f"req-{young}"))) is not None
    database.write_now(debts.pay, "a", owing, 1)
    assert database.write_now(pruning.prune) == 1


def test_tombstones_go_after_a_month(database: Database) -> None:
    database.write_now(claims.release, "s", 1)
    database.write_now(idempotency.bury, "s/1/port")
    assert database.write_now(pruning.prune, now() + 29 * DAY) == 0
    assert database.read_now(idempotency.is_buried, "s/1/port")
    assert database.write_now(pruning.prune, now() + 31 * DAY) == 1
    assert not database.read_now(idempotency.is_buried, "s/1/port")
    assert database.write_now(idempotency.first_use, "s/1/port", "p") is None


def test_deleted_volumes_go_and_others_stay(database: Database) -> None:
    kept, gone = (
        Volume(id=str(uuid.uuid4()), project_id="p", user_id="u", size_gb=1, status="available", created_at=now())
        for _ in range(2)
    )
    for volume in (kept, gone):
        database.write_now(volumes.create, volume, {"volumes": 10, "gigabytes": 10, "snapshots": 10})
    database.write_now(volumes.delete, gone.id)
    assert database.write_now(pruning.prune, now() + 89 * DAY) == 0
    assert database.write_now(pruning.prune, now() + 91 * DAY) == 1
    assert [volume.id for volume in database.read_now(volumes.all_of)] == [kept.id]


async def test_all_of_it_goes_batch_by_batch(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    ids = [_deleted(database, 100 + number) for number in range(5)]
    await sweeper.prune(database)
    assert [one for one in ids if database.read_now(servers.find, one) is not None] == []
