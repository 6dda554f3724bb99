"""Rescue and its end as clients ask for them."""

import uuid
from typing import Any

import pytest

from infra.db import servers
from infra.domain.errors import Conflict
from infra.domain.move import MoveKind
from infra.domain.server import Verb, VmState
from infra.domain.transitions import begin
from tests.api.compute.conftest import IMAGE, World
from tests.api.compute.test_move_actions import _act
from tests.api.compute.test_server_views import active_server


async def test_a_rescue_is_started_and_answers_with_a_password(world: World) -> None:
    server_id = await active_server(world)
    reply = await _act(world, server_id, {"rescue": {"adminPass": "pass-1", "rescue_image_ref": IMAGE}}, status=200)
    assert reply.json() == {"adminPass": "pass-1"}
    for body in ({"rescue": None}, {"rescue": {}}):
        reply = await _act(world, server_id, body, status=200)
        assert len(reply.json()["adminPass"]) == 12
    asked = [(server_id, MoveKind.RESCUE, {"image_id": image}) for image in (IMAGE, None, None)]
    assert world.starts.moves == asked
    world.db.write_now(servers.set_power_state, server_id, 1, VmState.RESCUED)
    shown = (await world.get(f"/servers/{server_id}"))["server"]
    assert (shown["status"], shown["OS-EXT-STS:vm_state"]) == ("RESCUE", "rescued")
    assert (await _act(world, server_id, {"unrescue": None}, status=202)).content == b""
    assert world.starts.ends == [(server_id, Verb.UNRESCUE)]


@pytest.mark.parametrize(
    "body",
    [
        {"rescue": {"adminPass": 1}},
        {"rescue": {"rescue_image_ref": "no-uuid"}},
        {"rescue": {"rescue_image_ref": str(uuid.uuid4())}},
        {"rescue": {"host": "a"}},
        {"rescue": []},
    ],
)
async def test_a_rescue_that_can_not_work_starts_nothing(lite: World, body: Any) -> None:
    server_id = await active_server(lite)
    lite.starts.specs.clear()
    await _act(lite, server_id, body, status=400)
    assert lite.starts.nothing


async def test_a_server_in_a_rescue_leaves_it_or_is_deleted(lite: World) -> None:
    server_id = await active_server(lite)
    lite.starts.specs.clear()
    lite.db.write_now(servers.set_power_state, server_id, 3, VmState.PAUSED)
    await _act(lite, server_id, {"rescue": None}, status=409)
    lite.db.write_now(servers.set_power_state, server_id, 1, VmState.RESCUED)
    for body in ({"rescue": None}, {"rebuild": {"imageRef": IMAGE}}, {"createImage": {"name": "x"}}):
        await _act(lite, server_id, body, status=409)
    for verb in set(Verb) - {Verb.UNRESCUE}:
        with pytest.raises(Conflict):
            begin(verb, VmState.RESCUED, None)
    await _act(lite, server_id, {"os-resetState": {"state": "active"}}, by="admin", status=409)
    assert lite.starts.nothing
    await lite.call("DELETE", f"/v2.1/servers/{server_id}", status=204)
