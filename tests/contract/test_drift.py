"""Rows of a host that do not fit each other, or the host: what is mended and what is only told, on both databases."""

import uuid
from datetime import timedelta
from typing import Any

import pytest

from infra.db import claims, debts, drift, hosts, problems, servers, unmended, volume_attachments, volumes
from infra.db.drift import Drift, SeenGuest
from infra.db.engine import Database
from infra.db.types import now
from infra.domain.numa import CellUse
from infra.domain.server import TaskState, VmState
from infra.domain.volume import Volume, VolumeAttachment
from tests.contract.hosts_help import PINNED, add, add_pinning, check_sums, claim, pinned
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
    assert [volume_id in one.what or "stranger" in one.what for one in found.reported] == [True, True]
    assert [one.kind for one in database.read_now(unmended.everywhere)] == ["missing_volume", "unknown_disk"]


def test_a_server_without_its_claim_is_told(database: Database) -> None:
    add(database, "a")
    server_id = _server(database)
    database.write_now(claims.release, server_id, 1)
    assert [server_id in one.what for one in _settle(database, {server_id: ()}).reported] == [True]


def test_what_was_told_is_kept_until_the_host_is_compared_again(database: Database) -> None:
    add(database, "a", "b")
    server_id = _server(database)
    database.write_now(claims.release, server_id, 1)
    database.write_now(drift.settle, "b", None, now(), "Host b could not be looked at.")
    _settle(database, {server_id: ()})

    def kept() -> list[tuple[str, str]]:
        return [(one.host, one.kind) for one in database.read_now(problems.find).drift]

    assert kept() == [("a", "unclaimed"), ("b", "unseen")]
    database.write_now(claims.claim, claim(server_id, "a", attempt=2))
    database.write_now(servers.take_over, server_id, "req-1")
    _settle(database, {server_id: ()})
    assert kept() == [("b", "unseen")]
    database.write_now(hosts.remove, "b")
    assert kept() == []


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


@pytest.mark.parametrize("held", [False, True], ids=["nobody has the CPUs", "a server has others"])
def test_cells_are_counted_anew(database: Database, held: bool) -> None:
    add_pinning(database, "a")
    if held:
        made = server(now() - timedelta(minutes=1), vm_state=VmState.ACTIVE, host="a", attempt=1, power_state=1)
        database.write_now(servers.insert, made)
        database.write_now(claims.claim, pinned(made.id, "a"), PINNED)
    used = [CellUse(id=1, dedicated=(4, 5), memory_mb=64).model_dump(mode="json")]
    database.write_now(lambda session: hosts._change(session, "a", numa_used=used))
    assert _settle(database, None).mended == ("Counted anew what is claimed of host a.",)
    check_sums(database)
    assert _settle(database, None) == Drift()


def test_what_is_counted_is_counted_anew(database: Database) -> None:
    add(database, "a")
    server_id = _server(database)
    database.write_now(lambda session: hosts._change(session, "a", vcpus_claimed=3, servers=7))
    assert len(_settle(database, {server_id: ()}).mended) == 1
    check_sums(database)
