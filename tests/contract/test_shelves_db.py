"""The rows of servers that are rescued or shelved, on both databases."""

import pytest

from infra.db import attachments, claims, confirmations, moves, servers, settlement
from infra.db.engine import Database
from infra.domain.errors import BadRequest, Conflict
from infra.domain.move import MoveKind
from infra.domain.server import VmState
from tests.contract.hosts_help import check_sums
from tests.contract.test_moves_db import IMAGE, _begin, _complete, _image, _there


def _claims(database: Database, server_id: str) -> list[tuple[str, int]]:
    return [(claim.host, claim.attempt) for claim in database.read_now(claims.of_server, server_id)]


def test_a_rescue_has_the_room_of_the_attempt_that_it_stands_in_for(database: Database) -> None:
    server_id = _there(database, vm_state=VmState.STOPPED, power_state=4)
    _image(database)
    begun = _begin(database, server_id, MoveKind.RESCUE)
    assert (begun.last_attempt, begun.moved.images, begun.rescue_images) == (2, (IMAGE,), ())
    assert _complete(database, server_id, "a")
    rescued = database.read_now(servers.get, server_id)
    assert (rescued.status, rescued.attempt, rescued.kept, rescued.rescue_images) == ("RESCUE", 2, ("a", 1), (IMAGE,))
    assert _claims(database, server_id) == [("a", 2)]
    (expected,) = database.read_now(settlement.expected, "a")
    assert expected.attempts == (1, 2)
    with pytest.raises(Conflict):
        database.write_now(
            attachments.begin_detach,
            server_id=server_id,
            volume_id="v",
            project_id="p",
            user_id="u",
            request_id="req-2",
        )
    database.write_now(confirmations.begin, server_id, "req-3", "unrescue", "u")
    assert database.write_now(confirmations.revert, server_id, "req-3", power_state=1, message=None)
    over = database.read_now(servers.get, server_id)
    assert (over.status, over.attempt, over.move, over.images) == ("ACTIVE", 1, None, (IMAGE,))
    assert _claims(database, server_id) == [("a", 1)]
    check_sums(database)


def test_the_end_of_a_rescue_that_fails_leaves_it_in_its_rescue(database: Database) -> None:
    server_id = _there(database)
    _image(database)
    _begin(database, server_id, MoveKind.RESCUE)
    assert _complete(database, server_id, "a")
    database.write_now(confirmations.begin, server_id, "req-3", "unrescue", "u")
    database.write_now(confirmations.withdraw, server_id, "req-3", "Its host is away.")
    rescued = database.read_now(servers.get, server_id)
    assert (rescued.status, rescued.op, rescued.attempt) == ("RESCUE", None, 2)
    with pytest.raises(Conflict):
        database.write_now(confirmations.begin, server_id, "req-3", "unrescue", "u")


def test_what_can_not_be_rescued(database: Database) -> None:
    server_id = _there(database)
    with pytest.raises(BadRequest):
        _begin(database, server_id, MoveKind.RESCUE)
    _image(database)
    with pytest.raises(BadRequest):
        _begin(database, server_id, MoveKind.RESCUE, image_id="33333333-3333-4333-8333-333333333333")
    assert database.read_now(servers.get, server_id).op is None


def test_a_server_that_boots_from_a_volume_is_not_rescued(database: Database) -> None:
    server_id = _there(database, image_id=None)
    with pytest.raises(BadRequest, match="volume-backed"):
        _begin(database, server_id, MoveKind.RESCUE)
    assert database.read_now(servers.get, server_id).op is None
    assert database.read_now(moves.moving) == []
