"""Resize, confirmation and revert, migration and rebuild as clients ask for them."""

import base64
import uuid
from typing import Any

import pytest

from infra.db import flavors, hosts, keypairs, moves, servers
from infra.domain.flavor import Flavor
from infra.domain.move import MoveKind
from infra.domain.server import Verb, VmState
from tests.api.compute.conftest import IMAGE, World
from tests.api.compute.test_server_views import active_server

LARGER = Flavor(id="2", name="m1.small", vcpus=2, ram_mb=1024, disk_gb=2)


async def _act(world: World, server_id: str, body: Any, **how: Any) -> Any:
    return await world.call("POST", f"/v2.1/servers/{server_id}/action", body, **how)


def _with_flavors(world: World) -> None:
    for flavor in (
        LARGER,
        LARGER.model_copy(update={"id": "3", "name": "smaller", "disk_gb": 0}),
        LARGER.model_copy(update={"id": "4", "name": "hidden", "is_public": False}),
        LARGER.model_copy(update={"id": "5", "name": "disabled", "disabled": True}),
    ):
        world.db.write_now(flavors.create, flavor)


async def test_moves_are_started_and_answered(world: World) -> None:
    _with_flavors(world)
    server_id = await active_server(world)
    reply = await _act(world, server_id, {"resize": {"flavorRef": "2", "OS-DCF:diskConfig": "AUTO"}}, status=202)
    assert reply.content == b""
    assert world.starts.moves == [(server_id, MoveKind.RESIZE, {"flavor_id": "2"})]
    assert (await _act(world, server_id, {"migrate": None}, by="admin", status=202)).content == b""
    for host, status in (("b", 400), ("h1", 400), (None, 202)):
        await _act(world, server_id, {"migrate": {"host": host}}, by="admin", version="2.56", status=status)
    assert [how for _, kind, how in world.starts.moves if kind is MoveKind.MIGRATE] == [{"host": None}] * 2
    reply = await _act(world, server_id, {"confirmResize": None}, status=204)
    assert reply.content == b""
    assert (await _act(world, server_id, {"revertResize": None}, status=202)).content == b""
    assert world.starts.ends == [(server_id, Verb.CONFIRM_RESIZE), (server_id, Verb.REVERT_RESIZE)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"resize": None}, 400),
        ({"resize": {}}, 400),
        ({"resize": {"flavorRef": "2", "host": "b"}}, 400),
        ({"resize": {"flavorRef": ["2"]}}, 400),
        ({"resize": {"flavorRef": "no-such"}}, 400),
        ({"resize": {"flavorRef": "1"}}, 400),
        ({"resize": {"flavorRef": "3"}}, 400),
        ({"resize": {"flavorRef": "4"}}, 400),
        ({"resize": {"flavorRef": "5"}}, 400),
        ({"confirmResize": {"now": True}}, 400),
        ({"revertResize": ["x"]}, 400),
        ({"migrate": None}, 403),
        ({"rebuild": None}, 400),
        ({"rebuild": {}}, 400),
        ({"rebuild": {"imageRef": "not-a-uuid"}}, 400),
        ({"rebuild": {"imageRef": ""}}, 400),
        ({"rebuild": {"imageRef": str(uuid.uuid4())}}, 400),
        ({"rebuild": {"imageRef": IMAGE, "name": ""}}, 400),
        ({"rebuild": {"imageRef": IMAGE, "name": None}}, 400),
        ({"rebuild": {"imageRef": IMAGE, "metadata": {"k": 1}}}, 400),
        ({"rebuild": {"imageRef": IMAGE, "metadata": {f"k{n}": "v" for n in range(129)}}}, 403),
        ({"rebuild": {"imageRef": IMAGE, "accessIPv4": "1.2.3"}}, 400),
        ({"rebuild": {"imageRef": IMAGE, "personality": [{"path": "/x", "contents": "eA=="}]}}, 400),
        ({"rebuild": {"imageRef": IMAGE, "OS-DCF:diskConfig": "auto"}}, 400),
        # Later versions know these.
        ({"rebuild": {"imageRef": IMAGE, "description": "x"}}, 400),
        ({"rebuild": {"imageRef": IMAGE, "key_name": "x"}}, 400),
        ({"rebuild": {"imageRef": IMAGE, "user_data": "eA=="}}, 400),
        ({"rebuild": {"imageRef": IMAGE, "hostname": "x"}}, 400),
    ],
)
async def test_what_can_not_work_starts_nothing(lite: World, body: Any, status: int) -> None:
    _with_flavors(lite)
    server_id = await active_server(lite)
    lite.starts.specs.clear()
    await _act(lite, server_id, body, status=status)
    assert lite.starts.nothing


async def test_a_server_in_another_state_or_of_others_does_not_move(lite: World) -> None:
    _with_flavors(lite)
    building, server_id = await lite.boot(), await active_server(lite)
    lite.starts.specs.clear()
    for body in ({"resize": {"flavorRef": "2"}}, {"rebuild": {"imageRef": IMAGE}}):
        reply = await _act(lite, building, body, status=409)
        assert "task_state scheduling" in reply.json()["conflictingRequest"]["message"]
        await _act(lite, server_id, body, by="bob", status=404)
        await _act(lite, server_id, body, by="reader", status=403)
    await _act(lite, server_id, {"lock": None}, status=202)
    await _act(lite, server_id, {"resize": {"flavorRef": "2"}}, status=409)
    assert lite.starts.nothing


async def test_a_rebuild_answers_with_what_was_asked(world: World) -> None:
    server_id = await active_server(world)
    world.db.write_now(keypairs.create, "alice-id", "k", "ssh", "ssh-ed25519 AAAA", "fp", limit=-1)
    wanted = {
        "imageRef": f"http://glance/v2/images/{IMAGE}",
        "name": "again",
        "adminPass": "secret-1",
        "metadata": {"a": "b"},
        "accessIPv6": "::1",
        "description": None,
        "key_name": "k",
        "user_data": base64.b64encode(b"#!/bin/sh").decode(),
    }
    reply = await _act(world, server_id, {"rebuild": wanted}, version="2.57", status=202)
    shown = reply.json()["server"]
    assert (shown["id"], shown["adminPass"], shown["user_data"]) == (server_id, "secret-1", None)
    assert "key_name" in shown
    ((_, kind, how),) = world.starts.moves
    assert (kind, how["user_data"]) == (MoveKind.REBUILD, wanted["user_data"])
    assert how["rebuild"].image_id == IMAGE
    assert how["rebuild"].new_user_data
    assert how["rebuild"].changes == {
        "name": "again",
        "metadata": {"a": "b"},
        "access_ip_v6": "::1",
        "description": None,
        "key_name": "k",
    }


@pytest.mark.parametrize(
    ("version", "more"),
    [
        ("2.1", set()),
        ("2.54", {"locked", "description", "tags", "key_name"}),
        ("2.57", {"locked", "description", "tags", "key_name", "user_data"}),
    ],
)
async def test_a_rebuild_answers_in_the_form_of_its_version(lite: World, version: str, more: set[str]) -> None:
    server_id = await active_server(lite)
    reply = await _act(lite, server_id, {"rebuild": {"imageRef": IMAGE}}, version=version, status=202)
    put = await lite.call("PUT", f"/v2.1/servers/{server_id}", {"server": {"name": "x"}}, version=version, status=200)
    shown = reply.json()["server"]
    assert len(shown["adminPass"]) == 12
    assert set(shown) == set(put.json()["server"]) | {"adminPass"} | more


async def test_from_2_75_on_a_rebuild_answers_with_everything(lite: World) -> None:
    server_id = await active_server(lite)
    reply = await _act(lite, server_id, {"rebuild": {"imageRef": IMAGE}}, version="2.96", status=202)
    shown = await lite.get(f"/servers/{server_id}", version="2.96")
    assert set(reply.json()["server"]) == set(shown["server"]) | {"adminPass", "user_data"}


async def test_a_server_that_waits_for_its_confirmation_is_shown_so(world: World) -> None:
    server_id = await active_server(world)
    world.db.write_now(servers.set_power_state, server_id, 1, VmState.RESIZED)
    shown = (await world.get(f"/servers/{server_id}"))["server"]
    assert (shown["status"], shown["OS-EXT-STS:vm_state"], shown["progress"]) == ("VERIFY_RESIZE", "resized", 100)
    await _act(world, server_id, {"os-resetState": {"state": "active"}}, by="admin", status=409)


async def test_moves_are_listed_for_administrators(world: World) -> None:
    _with_flavors(world)
    server_id = await active_server(world)
    await active_server(world)
    request = moves.MoveRequest(server_id=server_id, op="req-1", kind=MoveKind.RESIZE, user_id="u", flavor_id="2")
    world.db.write_now(moves.begin, request)
    await world.call("GET", "/v2.1/os-migrations", status=403)
    (shown,) = (await world.get("/os-migrations", by="admin", version="2.80"))["migrations"]
    assert (shown["instance_uuid"], shown["status"], shown["migration_type"]) == (server_id, "migrating", "resize")
    assert (shown["old_instance_type_id"], shown["new_instance_type_id"]) == (1, 2)
    assert isinstance(shown["id"], int)
    (oldest,) = (await world.get("/os-migrations", by="admin"))["migrations"]
    assert set(shown) - set(oldest) == {"migration_type", "uuid", "user_id", "project_id"}
    for query, count in (
        (f"instance_uuid={server_id}", 1),
        ("status=finished", 0),
        (f"host={shown['source_node']}", 1),
    ):
        found = (await world.get(f"/os-migrations?{query}", by="admin"))["migrations"]
        assert len(found) == count


@pytest.mark.parametrize(
    ("body", "version", "status"),
    [
        ({"evacuate": {"host": "../b"}}, "2.1", 400),
        ({"evacuate": None}, "2.1", 400),
        ({"evacuate": {"onSharedStorage": False}}, "2.14", 400),
        ({"evacuate": {"force": True}}, "2.68", 400),
        # Its host is up, or is the one that is named, or the other is not there.
        ({"evacuate": {}}, "2.14", 400),
        ({"evacuate": {"host": "no-such-host"}}, "2.14", 400),
    ],
)
async def test_evacuations_that_can_not_be_start_nothing(lite: World, body: Any, version: str, status: int) -> None:
    server_id = await active_server(lite)
    lite.starts.specs.clear()
    await _act(lite, server_id, body, version=version, status=403)
    await _act(lite, server_id, body, by="admin", version=version, status=status)
    assert lite.starts.nothing


async def test_a_server_is_evacuated_from_a_host_that_is_off(world: World) -> None:
    server_id = await active_server(world)
    host = world.db.read_now(servers.get, server_id).host
    world.db.write_now(hosts.force_down, str(host), True)
    reply = await _act(world, server_id, {"evacuate": {"adminPass": "secret-1"}}, by="admin", status=200)
    assert reply.json() == {"adminPass": "secret-1"}
    reply = await _act(world, server_id, {"evacuate": {}}, by="admin", version="2.14", status=200)
    assert reply.content == b""
    assert world.starts.moves == [(server_id, MoveKind.EVACUATE, {"host": None})] * 2
