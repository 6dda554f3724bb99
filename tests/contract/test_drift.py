"""Rows of a host that do not fit each other, or the host: what is mended and what is only told, on both databases."""

import uuid
from datetime import timedelta
from typing import Any

from infra.db import claims, debts, drift, hosts, servers, volume_attachments, volumes
from infra.db.drift import Drift, SeenGuest
from infra.db.engine import Database
from infra.db.types import now
from infra.domain.server import TaskState, VmState
from infra.domain.volume import Volume, VolumeAttachment
from tests.contract.hosts_help import add, check_sums, claim
from tests.contract.servers_help import server

QUOTA = {"volumes": 10, "gigabytes": 100, "snapshots": 10}


def _server(database: Database, **fields: Any) -> str:
    values = {"vm_state": VmState.ACTIVE, "host": "a", "attempt": 1, "power_state": 1} | fields
    made = server(now() - timedelta(minutes=1), **values)
    database.write_now(servers.insert, made)
    database.write_now(claims.claim, claim(made.id, "a"))
    return made.id


def _attached(database: Database, server_id: str) -> str:
    volume = Volume(id=str(uuid.uuid4()), project_id="p", user_id="u", size_gb=1, status="available", created_at=now())
    database.write_now(volumes.create, volume, QUOTA)
    attachment = VolumeAttachment(
        id=str(uuid.uuid4()), volume_id=volume.id, server_id=server_id, host="a", device="/dev/vdb", attached_at=now()
    )
    database.write_now(volume_attachments.attach, attachment, "p")
    return volume.id


def _settle(database: Database, guests: dict[str, tuple[str, ...]] | None) -> Drift:
    seen = {id: SeenGuest(server_id=id, attempt=1, serials=disks) for id, disks in (guests or {}).items()}
    return database.write_now(drift.settle, "a", None if guests is None else seen, now())


def test_disks_that_no_row_explains_are_told(database: Database) -> None:
    add(database, "a")
    server_id = _server(database)
    volume_id = _attached(database, server_id)
    root = server_id[:20]
    assert _settle(database, {server_id: (root, "config-2", volume_id[:20])}) == Drift()
    found = _settle(database, {server_id: (root, "stranger")})
    assert found.mended == ()
    assert [volume_id in sentence or "stranger" in sentence for sentence in found.reported] == [True, True]


def test_a_server_without_its_claim_is_told(database: Database) -> None:
    add(database, "a")
    server_id = _server(database)
    database.write_now(claims.release, server_id, 1)
    assert [server_id in sentence for sentence in _settle(database, {server_id: ()}).reported] == [True]


def test_a_guest_is_not_missed_where_the_host_did_not_answer_or_was_asked_before(database: Database) -> None:
    add(database, "a")
    server_id = _server(database)
    assert _settle(database, None) == Drift()
    asked = now() - timedelta(hours=1)
    assert database.write_now(drift.settle, "a", {}, asked) == Drift()
    assert len(_settle(database, {}).mended) == 1
    server = database.read_now(servers.get, server_id)
    assert (server.status, server.power_state) == ("SHUTOFF", 0)
    assert _settle(database, {}) == Drift()


def test_what_a_verb_holds_or_a_host_owes_is_left_alone(database: Database) -> None:
    add(database, "a")
    held = _server(database, task_state=TaskState.SPAWNING, op="req-1", vm_state=VmState.BUILDING, host=None)
    owed = _server(database, vm_state=VmState.ERROR, host=None)
    for server_id in (held, owed):
        _attached(database, server_id)
    debt = debts.Debt(host="a", server_id=owed, attempt=1, what="w")
    database.write_now(debts.owe, debt)
    assert _settle(database, {}) == Drift()
    database.write_now(debts.pay, "a", owed, 1)
    assert len(_settle(database, {}).mended) == 2
    assert [claim.server_id for claim in database.read_now(claims.of_host, "a")] == [held]
    check_sums(database)


def test_what_is_counted_is_counted_anew(database: Database) -> None:
    add(database, "a")
    server_id = _server(database)
    database.write_now(lambda session: hosts._change(session, "a", vcpus_claimed=3, servers=7))
    assert len(_settle(database, {server_id: ()}).mended) == 1
    check_sums(database)
