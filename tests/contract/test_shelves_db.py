"""The rows of servers that are rescued or shelved, on both databases."""

from typing import Any

import pytest

from infra.db import (
    attachments,
    claims,
    confirmations,
    debts,
    hosts,
    images,
    moves,
    quotas,
    repairs,
    servers,
    settlement,
    shelved_volumes,
    shelving,
    stuck_undos,
    volume_attachments,
    volumes,
)
from infra.db.engine import Database
from infra.db.types import now
from infra.domain.errors import BadRequest, Conflict, NotFound
from infra.domain.move import MoveKind
from infra.domain.server import Verb, VmState
from infra.domain.server_image import shelved_image_id
from infra.domain.volume import Volume, VolumeAttachment
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


V1, V2 = "v1", "v2"
_SHELVED_IMAGE = "44444444-4444-4444-8444-444444444444"


def _volume(database: Database, volume_id: str) -> None:
    volume = Volume(id=volume_id, project_id="p", user_id="u", name="", size_gb=1, status="available", created_at=now())
    database.write_now(volumes.create, volume, {"volumes": 10, "gigabytes": 100, "snapshots": 10})


def _attached(database: Database, server_id: str, volume_id: str) -> None:
    attachment = VolumeAttachment(
        id=f"of-{volume_id}",
        volume_id=volume_id,
        server_id=server_id,
        host="a",
        device="/dev/vdb",
        attempt=1,
        status="attached",
        attached_at=now(),
    )
    database.write_now(volume_attachments.attach, attachment, "p")


def _shelve(database: Database, server_id: str) -> None:
    begin = {"server_id": server_id, "verb": Verb.SHELVE, "op": "req-1"}
    database.write_now(servers.begin_verb, **begin)
    assert database.write_now(shelving.shelve, server_id, "req-1", _SHELVED_IMAGE)
    database.write_now(shelving.begin_offload, server_id, "req-1", "u")
    assert database.write_now(shelving.offload, server_id, "req-1")


def _change(database: Database, change: Any, server_id: str, **fields: Any) -> Any:
    return database.write_now(change, server_id=server_id, user_id="u", request_id=f"req-{change.__name__}", **fields)


_ATTACH: dict[str, Any] = {"project_id": "p", "device": None, "delete_on_termination": False}


def test_a_shelved_server_has_no_room_and_keeps_its_volumes_and_quota(database: Database) -> None:
    server_id = _there(database)
    _volume(database, V1)
    _attached(database, server_id, V1)
    usage = database.read_now(quotas.usage, "p")
    _shelve(database, server_id)
    shelved = database.read_now(servers.get, server_id)
    assert (shelved.status, shelved.host, shelved.op) == ("SHELVED_OFFLOADED", None, None)
    assert _claims(database, server_id) == []
    assert database.read_now(quotas.usage, "p") == usage
    (attachment,) = database.read_now(attachments.of_server, server_id)
    assert (attachment.host, attachment.status) == (None, "attached")
    assert database.read_now(settlement.expected, "a") == []
    assert not database.write_now(shelving.offload, server_id, "req-1"), "a repeat"
    check_sums(database)


def test_what_an_offload_was_stuck_with_does_not_come_back(database: Database) -> None:
    server_id = _there(database)
    database.write_now(stuck_undos.say_of_holder, server_id, "hypervisor.remove: no answer")
    _shelve(database, server_id)
    assert database.read_now(servers.get, server_id).stuck_undo is None
    attach = f"server/{server_id}/volume/{V1}"
    for what in ("volumes.detach: no answer", None):
        database.write_now(stuck_undos.say, server_id, attach, what)
        assert database.read_now(servers.get, server_id).stuck_undo == what


def test_volumes_come_and_go_while_a_server_is_on_no_host(database: Database) -> None:
    server_id = _there(database)
    for volume_id in (V1, V2):
        _volume(database, volume_id)
    _attached(database, server_id, V1)
    new = {"volume_id": V2, "attachment_id": "of-v2", **_ATTACH}
    with pytest.raises(Conflict):
        _change(database, shelved_volumes.attach, server_id, **new)
    _shelve(database, server_id)
    assert _change(database, shelved_volumes.attach, server_id, **new) == "/dev/vdc"
    assert database.read_now(volumes.get, V2, "p").status == "in-use"
    with pytest.raises(BadRequest):
        _change(database, shelved_volumes.attach, server_id, **{**new, "attachment_id": "other"})
    _change(database, shelved_volumes.detach, server_id, volume_id=V1)
    assert database.read_now(volumes.get, V1, "p").status == "available"
    with pytest.raises(NotFound):
        _change(database, shelved_volumes.detach, server_id, volume_id=V1)
    _begin(database, server_id, MoveKind.UNSHELVE)
    with pytest.raises(Conflict):
        _change(database, shelved_volumes.detach, server_id, volume_id=V2)
    assert _complete(database, server_id, "b")
    (attachment,) = database.read_now(attachments.of_server, server_id)
    assert (attachment.host, attachment.attempt, attachment.device) == ("b", 2, "/dev/vdc")
    back = database.read_now(servers.get, server_id)
    assert (back.status, back.host, back.attempt, back.shelved_image_id) == ("ACTIVE", "b", 2, None)


def test_an_unshelve_that_comes_to_nothing_leaves_it_shelved(database: Database) -> None:
    server_id = _there(database, availability_zone="old")
    _shelve(database, server_id)
    begun = _begin(database, server_id, MoveKind.UNSHELVE, rezoned=True, zone="new")
    assert (begun.moved.availability_zone, begun.availability_zone, begun.last_attempt) == ("new", "old", 2)
    assert database.write_now(moves.abandon, server_id, "req-1", "No valid host.", failed=False)
    shelved = database.read_now(servers.get, server_id)
    assert (shelved.status, shelved.move, shelved.availability_zone) == ("SHELVED_OFFLOADED", None, "old")
    assert shelved.shelved_image_id == _SHELVED_IMAGE


def test_a_host_that_may_still_run_it_keeps_its_volumes_from_others(database: Database) -> None:
    """An unshelve failed there, and the host has not confirmed that nothing is left."""
    server_id = _there(database)
    _volume(database, V1)
    _attached(database, server_id, V1)
    _shelve(database, server_id)
    database.write_now(settlement.owe, debts.Debt(host="b", server_id=server_id, attempt=2, what="x"))
    with pytest.raises(Conflict):
        _change(database, shelved_volumes.detach, server_id, volume_id=V1)
    with pytest.raises(Conflict):
        _begin(database, server_id, MoveKind.UNSHELVE)
    server = database.write_now(servers.mark_deleting, server_id, "req-9")
    assert database.write_now(shelving.leave_to_debtor, server)
    database.write_now(settlement.release_all, server_id)
    database.write_now(servers.set_deleted, server_id)
    assert database.read_now(volumes.get, V1, "p").status == "in-use"
    database.write_now(settlement.settle, "b", server_id, 2)
    assert database.read_now(volumes.get, V1, "p").status == "available"


def test_a_host_that_is_surely_off_keeps_nothing(database: Database) -> None:
    server_id = _there(database)
    _shelve(database, server_id)
    database.write_now(settlement.owe, debts.Debt(host="b", server_id=server_id, attempt=2, what="x"))
    database.write_now(hosts.force_down, "b", True)
    assert not database.write_now(shelving.leave_to_debtor, database.read_now(servers.get, server_id))
    assert _begin(database, server_id, MoveKind.UNSHELVE).move is not None


def test_a_repair_takes_the_image_of_a_shelve_that_was_lost(database: Database) -> None:
    server_id = _there(database)
    _image(database)
    begun = {"server_id": server_id, "verb": Verb.SHELVE, "op": "req-1"}
    database.write_now(servers.begin_verb, **begun)
    saved = shelved_image_id(server_id, "req-1")
    whole = database.read_now(images.get, IMAGE, "p").model_copy(update={"id": saved})
    database.write_now(images.create, whole)
    assert database.write_now(repairs.take_server, server_id, "req-1", "req-2", "lost") is not None
    with pytest.raises(NotFound):
        database.read_now(images.get, saved, "p")
    assert database.read_now(images.get, IMAGE, "p").status == "active"
