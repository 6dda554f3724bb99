"""The rows of a server that moves: what a move holds, and what it leaves when it ends, on both databases."""

from typing import Any

import pytest

from infra.db import (
    claims,
    confirmations,
    debts,
    flavors,
    hosts,
    idempotency,
    images,
    moves,
    quotas,
    servers,
    settlement,
)
from infra.db.engine import Database
from infra.db.move_requests import Rebuild
from infra.db.types import now
from infra.domain.errors import BadRequest, Conflict, NotFound, QuotaExceeded
from infra.domain.flavor import Flavor
from infra.domain.image import Image
from infra.domain.move import MoveKind
from infra.domain.server import Server, TaskState, Verb, VmState
from tests.contract.hosts_help import add, check_sums, claim
from tests.contract.servers_help import server

LARGER = Flavor(id="2", name="larger", vcpus=3, ram_mb=512, disk_gb=4)
IMAGE = "11111111-1111-4111-8111-111111111111"


def _there(database: Database, **fields: Any) -> str:
    """A server that runs on host a, in attempt 1; host b is another."""
    for name in ("a", "b"):
        add(database, name)
    database.write_now(flavors.create, LARGER)
    values = {"vm_state": VmState.ACTIVE, "host": "a", "attempt": 1, "power_state": 1, "image_id": IMAGE} | fields
    made = server(now(), **values)
    database.write_now(servers.insert, made)
    database.write_now(claims.claim, claim(made.id, "a"))
    return made.id


def _begin(database: Database, server_id: str, kind: MoveKind = MoveKind.RESIZE, **fields: Any) -> Server:
    fields = {"flavor_id": "2"} | fields if kind is MoveKind.RESIZE else fields
    request = moves.MoveRequest(server_id=server_id, op="req-1", kind=kind, user_id="u", **fields)
    return database.write_now(moves.begin, request)


def _complete(database: Database, server_id: str, host: str, attempt: int = 2) -> bool:
    new = moves.Completed(server_id=server_id, op="req-1", host=host, attempt=attempt, power_state=1)
    return database.write_now(moves.complete, new)


def _image(database: Database) -> None:
    moment = now()
    image = Image(
        id=IMAGE,
        name="guest",
        owner="p",
        status="active",
        disk_format="raw",
        container_format="bare",
        size=10240,
        virtual_size=10240,
        created_at=moment,
        updated_at=moment,
        properties={"os_type": "linux"},
    )
    database.write_now(images.create, image)


def _used(database: Database) -> tuple[int, int]:
    used = database.read_now(quotas.usage, "p")
    return used.cores, used.ram


def test_a_resize_holds_the_larger_of_both_flavors_until_it_is_confirmed(database: Database) -> None:
    server_id = _there(database)
    begun = _begin(database, server_id)
    assert (begun.status, begun.flavor.id, begun.moved.flavor.id, begun.last_attempt) == ("RESIZE", "1", "2", 2)
    assert _begin(database, server_id) == begun
    assert _used(database) == (3, 512)
    database.write_now(claims.claim, claim(server_id, "b", attempt=2))
    assert [_complete(database, server_id, "b") for _ in range(2)] == [True, True]
    found = database.read_now(servers.get, server_id)
    assert (found.status, found.host, found.attempt, found.flavor.id) == ("VERIFY_RESIZE", "b", 2, "2")
    assert (found.kept, found.op, found.task_state) == (("a", 1), None, None)
    assert _used(database) == (3, 512)
    for host, attempt in (("a", 1), ("b", 2)):
        (expected,) = database.read_now(settlement.expected, host)
        assert (expected.server_id, expected.attempts) == (server_id, (attempt,))
    check_sums(database)


def test_a_move_that_comes_to_nothing_leaves_the_row_as_it_was(database: Database) -> None:
    server_id = _there(database)
    before = database.read_now(servers.get, server_id)
    _begin(database, server_id)
    assert database.write_now(moves.abandon, server_id, "req-1", "no", failed=False)
    after = database.read_now(servers.get, server_id)
    # Its number is never used again.
    assert after == before.model_copy(update={"last_attempt": 2, "updated_at": after.updated_at})
    assert _used(database) == (1, 128)
    # Late: it was given up.
    with pytest.raises(Conflict):
        _begin(database, server_id)
    request = moves.MoveRequest(server_id=server_id, op="req-2", kind=MoveKind.RESIZE, user_id="u", flavor_id="2")
    assert database.write_now(moves.begin, request).last_attempt == 3


def test_one_whose_guest_is_not_back_is_in_error(database: Database) -> None:
    server_id = _there(database)
    _begin(database, server_id)
    assert database.write_now(moves.abandon, server_id, "req-1", "the host is away", failed=True)
    found = database.read_now(servers.get, server_id)
    assert (found.status, found.host, found.attempt, found.move) == ("ERROR", "a", 1, None)
    assert found.fault is not None
    assert found.fault.message == "the host is away"


def test_a_delete_takes_a_server_from_its_move(database: Database) -> None:
    server_id = _there(database)
    _begin(database, server_id)
    database.write_now(servers.mark_deleting, server_id, "req-9")
    assert not _complete(database, server_id, "b")
    assert not database.write_now(moves.abandon, server_id, "req-1", "deleted", failed=False)
    found = database.read_now(servers.get, server_id)
    assert (found.task_state, found.op, found.move, found.host) == (TaskState.DELETING, "req-9", None, "a")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"vm_state": VmState.PAUSED}, Conflict),
        ({"vm_state": VmState.RESIZED}, Conflict),
        ({"task_state": TaskState.REBOOTING, "op": "req-0"}, Conflict),
        ({"host": None}, Conflict),
        ({"flavor": LARGER}, BadRequest),
        ({"flavor": LARGER.model_copy(update={"id": "9", "disk_gb": 5})}, BadRequest),
    ],
)
def test_what_can_not_be_resized(database: Database, fields: dict[str, Any], error: type[Exception]) -> None:
    server_id = _there(database, **fields)
    before = database.read_now(servers.get, server_id)
    with pytest.raises(error):
        _begin(database, server_id)
    assert database.read_now(servers.get, server_id) == before
    with pytest.raises(NotFound):
        _begin(database, "no-such")


def test_a_resize_needs_room_in_the_quota_for_the_difference(database: Database) -> None:
    server_id = _there(database)
    database.write_now(quotas.put, "p", {"cores": 2})
    with pytest.raises(QuotaExceeded, match="cores"):
        _begin(database, server_id)
    database.write_now(quotas.put, "p", {"cores": 3})
    _begin(database, server_id)


def test_a_confirmed_move_is_the_server(database: Database) -> None:
    server_id = _there(database)
    _begin(database, server_id)
    _complete(database, server_id, "b")
    begun = database.write_now(confirmations.begin, server_id, "req-2", Verb.CONFIRM_RESIZE, "u")
    assert (begun.status, begun.task_state) == ("VERIFY_RESIZE", TaskState.RESIZE_CONFIRMING)
    assert [database.write_now(confirmations.confirm, server_id, "req-2") for _ in range(2)] == [True, False]
    found = database.read_now(servers.get, server_id)
    assert (found.status, found.host, found.flavor.id, found.move, found.op) == ("ACTIVE", "b", "2", None, None)
    with pytest.raises(Conflict):
        database.write_now(confirmations.begin, server_id, "req-3", Verb.CONFIRM_RESIZE, "u")


def test_a_reverted_move_is_as_if_it_had_not_been(database: Database) -> None:
    server_id = _there(database, vm_state=VmState.STOPPED, power_state=4)
    before = database.read_now(servers.get, server_id)
    _begin(database, server_id)
    _complete(database, server_id, "b")
    begun = database.write_now(confirmations.begin, server_id, "req-2", Verb.REVERT_RESIZE, "u")
    assert begun.status == "REVERT_RESIZE"
    database.write_now(confirmations.revert, server_id, "req-2", power_state=4, message=None)
    after = database.read_now(servers.get, server_id)
    assert after == before.model_copy(update={"last_attempt": 2, "updated_at": after.updated_at})
    assert _used(database) == (1, 128)


def test_a_rebuild_takes_the_room_of_the_attempt_before(database: Database) -> None:
    _image(database)
    server_id = _there(database, image_id="old", metadata={"k": "v"}, description="mine")
    rebuild = Rebuild(image_id=IMAGE, changes={"name": "again"}, new_user_data=True)
    begun = _begin(database, server_id, MoveKind.REBUILD, rebuild=rebuild, sealed_user_data={"ciphertext": "x"})
    assert (begun.status, begun.name, begun.moved.name, begun.moved.image_id) == ("REBUILD", "web", "again", IMAGE)
    assert database.read_now(moves.user_data, begun) == {"ciphertext": "x"}
    assert database.read_now(servers.sealed_user_data, server_id) is None
    assert [_complete(database, server_id, "a") for _ in range(2)] == [True, True]
    found = database.read_now(servers.get, server_id)
    assert (found.status, found.name, found.image_id, found.attempt) == ("ACTIVE", "again", IMAGE, 2)
    assert (found.metadata, found.description, found.move) == ({"k": "v"}, "mine", None)
    assert database.read_now(servers.sealed_user_data, server_id) == {"ciphertext": "x"}
    (held,) = database.read_now(claims.of_server, server_id)
    assert (held.attempt, held.host, held.image_properties) == (2, "a", {"os_type": "linux"})
    with pytest.raises(Conflict):
        database.write_now(claims.require_open, server_id, 1)
    check_sums(database)


def test_a_server_that_boots_from_a_volume_is_not_rebuilt(database: Database) -> None:
    server_id = _there(database, image_id=None)
    with pytest.raises(BadRequest):
        _begin(database, server_id, MoveKind.REBUILD, rebuild=Rebuild(image_id=IMAGE, changes={}))


def test_nobody_touches_a_server_whose_other_side_may_still_run(database: Database) -> None:
    server_id = _there(database)
    debt = debts.Debt(host="b", server_id=server_id, attempt=2, what="w")
    database.write_now(settlement.owe, debt)
    with pytest.raises(Conflict):
        _begin(database, server_id)
    # An operator says that the host is off.
    database.write_now(hosts.force_down, "b", True)
    _begin(database, server_id)


def test_a_debt_of_an_attempt_that_was_undone_takes_nothing_from_the_one_that_stays(database: Database) -> None:
    server_id = _there(database)
    key = f"{server_id}/1/port/x"
    assert database.write_now(idempotency.first_use, key, "x") is None
    debt = debts.Debt(host="a", server_id=server_id, attempt=2, what="w")
    database.write_now(settlement.owe, debt)
    database.write_now(settlement.settle, "a", server_id, 2)
    (held,) = database.read_now(claims.of_server, server_id)
    assert (held.attempt, held.quarantined) == (1, False)
