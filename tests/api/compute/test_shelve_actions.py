"""Shelve, its end, and deletes that are put off, as clients ask for them."""

from typing import Any

import pytest

from infra.db import servers
from infra.domain.errors import Conflict
from infra.domain.move import MoveKind
from infra.domain.server import TaskState, Verb, VmState
from infra.domain.transitions import begin
from tests.api.compute.conftest import IMAGE, World
from tests.api.compute.test_move_actions import _act
from tests.api.compute.test_server_views import active_server


def _state(world: World, server_id: str, vm_state: VmState) -> None:
    world.db.write_now(servers.set_power_state, server_id, 4, vm_state)


async def test_a_server_is_shelved_as_an_image_of_its_name(world: World) -> None:
    server_id = await active_server(world)
    assert (await _act(world, server_id, {"shelve": None}, status=202)).content == b""
    ((held, verb, params),) = world.starts.runs
    assert (held, verb) == (server_id, Verb.SHELVE)
    name = (await world.get(f"/servers/{server_id}"))["server"]["name"]
    assert params.fields["name"] == f"{name}-shelved"
    assert (params.fields["image_type"], params.fields["base_image_ref"]) == ("snapshot", IMAGE)
    for vm_state, status in ((VmState.SHELVED, "SHELVED"), (VmState.SHELVED_OFFLOADED, "SHELVED_OFFLOADED")):
        _state(world, server_id, vm_state)
        shown = (await world.get(f"/servers/{server_id}"))["server"]
        assert (shown["status"], shown["OS-EXT-STS:vm_state"]) == (status, vm_state)
        listed = (await world.get(f"/servers?status={status}"))["servers"]
        assert [server["id"] for server in listed] == [server_id]


async def test_an_unshelve_names_zone_and_host_as_its_version_knows_them(world: World) -> None:
    server_id = await active_server(world)
    _state(world, server_id, VmState.SHELVED_OFFLOADED)
    host = (await world.get(f"/servers/{server_id}", by="admin"))["server"]["OS-EXT-SRV-ATTR:host"]
    for version, body, by, status in (
        ("2.1", None, "alice", 202),
        ("2.76", {"availability_zone": "nova"}, "alice", 400),
        ("2.77", None, "alice", 202),
        ("2.77", {"availability_zone": "nova"}, "alice", 202),
        ("2.77", {"availability_zone": None}, "alice", 400),
        ("2.77", {"availability_zone": "no-such-zone"}, "alice", 400),
        ("2.77", {}, "alice", 400),
        ("2.77", {"host": "x"}, "admin", 400),
        ("2.91", {"availability_zone": None}, "alice", 202),
        ("2.91", {"host": "x"}, "alice", 403),
        ("2.91", {"host": "no-such-host"}, "admin", 400),
        ("2.91", {"host": None}, "admin", 400),
        ("2.91", {"other": 1}, "admin", 400),
    ):
        reply = await _act(world, server_id, {"unshelve": body}, version=version, by=by)
        assert reply.status_code == status, (version, body, reply.text)
    how = [(kind, how["zone"], how["host"]) for _, kind, how in world.starts.moves]
    nothing = (MoveKind.UNSHELVE, None, None)
    assert how == [nothing, nothing, (MoveKind.UNSHELVE, ("nova",), None), (MoveKind.UNSHELVE, (None,), None)]
    assert host is not None


@pytest.mark.parametrize("vm_state", [VmState.SHELVED, VmState.SHELVED_OFFLOADED])
async def test_a_shelved_server_is_unshelved_or_deleted(lite: World, vm_state: VmState) -> None:
    server_id = await active_server(lite)
    lite.starts.specs.clear()
    offloaded = vm_state is VmState.SHELVED_OFFLOADED
    await _act(lite, server_id, {"unshelve": None}, status=409)
    await _act(lite, server_id, {"shelveOffload": None}, status=403)
    await _act(lite, server_id, {"shelveOffload": None}, by="admin", status=409)
    _state(lite, server_id, vm_state)
    for body in ({"shelve": None}, {"rebuild": {"imageRef": IMAGE}}, {"createImage": {"name": "x"}}, {"rescue": None}):
        await _act(lite, server_id, body, status=409)
    await _act(lite, server_id, {"os-resetState": {"state": "active"}}, by="admin", status=409)
    possible = {Verb.UNSHELVE} if offloaded else {Verb.SHELVE_OFFLOAD}
    for verb in set(Verb) - possible:
        with pytest.raises(Conflict):
            begin(verb, vm_state, None)
    assert lite.starts.nothing
    await _act(lite, server_id, {"shelveOffload": None}, by="admin", status=409 if offloaded else 202)
    await lite.call("DELETE", f"/v2.1/servers/{server_id}", status=204)


@pytest.mark.parametrize("body", [{"shelve": {"now": True}}, {"shelve": 1}, {"unshelve": "x"}, {"restore": {"a": 1}}])
async def test_what_takes_no_argument(lite: World, body: Any) -> None:
    server_id = await active_server(lite)
    await _act(lite, server_id, body, status=400)


async def test_nothing_is_restored_and_a_delete_is_a_delete(lite: World) -> None:
    server_id = await active_server(lite)
    await _act(lite, server_id, {"restore": None}, status=409)
    await _act(lite, server_id, {"forceDelete": None}, by="reader", status=403)
    assert (await _act(lite, server_id, {"forceDelete": None}, status=204)).content == b""
    assert lite.starts.deleted == [server_id]
    assert begin(Verb.SHELVE, VmState.PAUSED, None).task is TaskState.SHELVING
