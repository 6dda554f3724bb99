import uuid
from typing import Any

import pytest

from infra.db import actions, security_groups, server_details, servers, volumes
from infra.db.types import now
from infra.domain.network import NetworkQuota, SecurityGroup
from infra.domain.server import Verb, VmState
from infra.domain.volume import Volume
from tests.api.compute.conftest import ALICE, BOB, World
from tests.api.compute.test_server_views import active_server

VERBS: list[tuple[dict[str, Any], Verb]] = [
    ({"os-start": None}, Verb.START),
    ({"os-stop": None}, Verb.STOP),
    ({"pause": None}, Verb.PAUSE),
    ({"unpause": None}, Verb.UNPAUSE),
    ({"suspend": None}, Verb.SUSPEND),
    ({"resume": {}}, Verb.RESUME),
    ({"reboot": {"type": "SOFT"}}, Verb.REBOOT_SOFT),
    ({"reboot": {"type": "hard"}}, Verb.REBOOT_HARD),
]


async def test_verbs_are_started_and_answered_with_nothing(lite: World) -> None:
    server_id = await lite.boot()
    for body, verb in VERBS:
        reply = await lite.call("POST", f"/v2.1/servers/{server_id}/action", body, status=202)
        assert reply.content == b""
        assert lite.starts.verbs[-1] == (server_id, verb)


async def test_a_delete_is_started_and_answered_with_nothing(lite: World) -> None:
    server_id = await lite.boot()
    reply = await lite.call("DELETE", f"/v2.1/servers/{server_id}", status=204)
    assert reply.content == b""
    assert lite.starts.deleted == [server_id]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ([], 400),
        (None, 400),
        ({"os-stop": None, "os-start": None}, 400),
        ({"os-stop": {"now": True}}, 400),
        ({"no-such": None}, 400),
        ({"<script>": None}, 400),
        ({"reboot": None}, 400),
        ({"reboot": {}}, 400),
        ({"reboot": {"type": "FIRM"}}, 400),
        ({"reboot": {"type": 1}}, 400),
        ({"reboot": {"type": "SOFT", "when": "now"}}, 400),
        ({"os-getConsoleOutput": {"length": "many"}}, 400),
        ({"os-getConsoleOutput": {"length": -2}}, 400),
        ({"lock": {"locked_reason": "x"}}, 400),
        ({"addSecurityGroup": None}, 400),
        ({"addSecurityGroup": {"name": ""}}, 400),
        ({"addSecurityGroup": {"name": "no-such"}}, 404),
        ({"addSecurityGroup": {"name": "default"}}, 400),
        ({"removeSecurityGroup": {"name": "default", "id": "x"}}, 400),
        ({"removeSecurityGroup": {"name": "default"}}, 404),
        ({"os-resetState": {"state": "active"}}, 403),
        ({"createImage": {"name": "x"}}, 409),
        ({"createImage": None}, 400),
        ({"createImage": {}}, 400),
        ({"createImage": {"name": ""}}, 400),
        ({"createImage": {"name": "x" * 256}}, 400),
        ({"createImage": {"name": "x", "size": 1}}, 400),
        ({"createImage": {"name": "x", "metadata": {"": ""}}}, 400),
        ({"createImage": {"name": "x", "metadata": {"a": "b" * 256}}}, 400),
        ({"createImage": {"name": "x", "metadata": {"owner": "b"}}}, 400),
        ({"createImage": {"name": "x", "metadata": {str(n): "x" for n in range(129)}}}, 403),
        ({"createBackup": {"name": "x", "backup_type": "daily", "rotation": 1}}, 409),
        ({"createBackup": {"name": "x", "backup_type": "daily"}}, 400),
        ({"createBackup": {"name": "x", "backup_type": "daily", "rotation": -1}}, 400),
        ({"createBackup": {"name": "x", "backup_type": ["daily"], "rotation": 1}}, 400),
    ],
)
async def test_bad_actions_start_nothing(lite: World, body: Any, status: int) -> None:
    server_id = await lite.boot()
    lite.starts.specs.clear()
    await lite.call("POST", f"/v2.1/servers/{server_id}/action", body, status=status)
    assert lite.starts.nothing


@pytest.mark.parametrize(
    ("method", "path", "body", "what"),
    [
        ("POST", "/remote-consoles", {"remote_console": {"protocol": "vnc", "type": "novnc"}}, "console log"),
    ],
)
async def test_what_clients_ask_for_and_is_not_there_is_named(
    lite: World, method: str, path: str, body: Any, what: str
) -> None:
    server_id = await lite.boot()
    reply = await lite.call(method, f"/v2.1/servers/{server_id}{path}", body, status=501)
    assert what in reply.json()["notImplemented"]["message"]
    await lite.call(method, f"/v2.1/servers/{uuid.uuid4()}{path}", body, status=404)


async def test_the_console_log_is_read_to_the_length_that_was_asked(lite: World) -> None:
    server_id = await lite.boot()
    for argument in ({}, None, {"length": 10}, {"length": "5"}, {"length": -1}, {"length": None}):
        body = {"os-getConsoleOutput": argument}
        reply = await lite.call("POST", f"/v2.1/servers/{server_id}/action", body, status=200)
        assert reply.json() == {"output": "Booting <guest>\n"}
    assert lite.starts.console == [None, None, 10, 5, None, None]


async def test_a_locked_server_is_its_administrators(world: World) -> None:
    server_id = await world.boot()
    action = f"/v2.1/servers/{server_id}/action"
    await world.call("POST", action, {"lock": {"locked_reason": "audit"}}, version="2.73", status=202)
    shown = (await world.get(f"/servers/{server_id}", version="2.73"))["server"]
    assert (shown["locked"], shown["locked_reason"]) == (True, "audit")
    for method, path, body in (
        ("POST", "/action", {"os-stop": None}),
        ("DELETE", "", None),
        ("PUT", "", {"server": {"name": "x"}}),
    ):
        reply = await world.call(method, f"/v2.1/servers/{server_id}{path}", body, status=409)
        assert reply.json()["conflictingRequest"]["message"] == f"Instance {server_id} is locked"
    assert (world.starts.verbs, world.starts.deleted) == ([], [])
    await world.call("POST", action, {"os-stop": None}, by="admin", status=202)
    await world.call("POST", action, {"unlock": None}, status=202)
    await world.call("POST", action, {"os-stop": None}, status=202)


async def test_groups_are_put_on_a_servers_ports_and_taken_off(world: World) -> None:
    server_id = await active_server(world)
    path = f"/v2.1/servers/{server_id}/action"
    group = SecurityGroup(id=str(uuid.uuid4()), project_id=ALICE, name="web", created_at=now(), updated_at=now())
    world.db.write_now(security_groups.create, group, NetworkQuota())

    async def shown() -> list[str]:
        server = (await world.get(f"/servers/{server_id}"))["server"]
        return [group["name"] for group in server.get("security_groups", [])]

    for _ in range(2):
        reply = await world.call("POST", path, {"addSecurityGroup": {"name": "web"}}, status=202)
        assert reply.content == b""
    assert await shown() == ["default", "web"]
    await world.call("POST", path, {"removeSecurityGroup": {"name": "default"}}, status=202)
    await world.call("POST", path, {"removeSecurityGroup": {"name": "default"}}, status=404)
    await world.call("POST", path, {"removeSecurityGroup": {"name": group.id}}, status=202)
    assert "security_groups" not in (await world.get(f"/servers/{server_id}"))["server"]
    await world.call("POST", path, {"addSecurityGroup": {"name": "web"}}, by="bob", status=404)


async def test_locking_takes_an_empty_argument(lite: World) -> None:
    server_id = await lite.boot()
    for action in ({"lock": {}}, {"unlock": {}}, {"lock": None}):
        await lite.call("POST", f"/v2.1/servers/{server_id}/action", action, status=202)


async def test_an_administrator_says_what_state_a_server_is_in(world: World) -> None:
    server_id = await active_server(world)
    action = f"/v2.1/servers/{server_id}/action"
    await world.call("POST", action, {"os-resetState": {"state": "error"}}, by="admin", status=202)
    assert world.db.read_now(servers.get, server_id).vm_state is VmState.ERROR
    await world.call("POST", action, {"os-resetState": {"state": "active"}}, by="admin", status=202)
    assert world.db.read_now(servers.get, server_id).vm_state is VmState.ACTIVE
    building = await world.boot(name="held")
    action = f"/v2.1/servers/{building}/action"
    await world.call("POST", action, {"os-resetState": {"state": "error"}}, by="admin", status=409)


async def test_metadata_is_added_replaced_and_removed(world: World) -> None:
    server_id = await world.boot(metadata={"a": "1"})
    path = f"/v2.1/servers/{server_id}/metadata"
    added = await world.call("POST", path, {"metadata": {"b": "2"}}, status=200)
    assert added.json() == {"metadata": {"a": "1", "b": "2"}}
    one = await world.call("PUT", f"{path}/a", {"meta": {"a": "3"}}, status=200)
    assert one.json() == {"meta": {"a": "3"}}
    assert (await world.call("GET", f"{path}/a", status=200)).json() == {"meta": {"a": "3"}}
    deleted = await world.call("DELETE", f"{path}/a", status=204)
    assert deleted.content == b""
    await world.call("DELETE", f"{path}/a", status=404)
    await world.call("GET", f"{path}/a", status=404)
    replaced = await world.call("PUT", path, {"metadata": {"c": "4"}}, status=200)
    assert replaced.json() == {"metadata": {"c": "4"}}
    for method, address, body in (
        ("POST", path, {"metadata": {"a": "\x00"}}),
        ("POST", path, {"metadata": {"a": None}}),
        ("POST", path, {"metadata": {"a" * 256: "1"}}),
        ("POST", path, {"meta": {"a": "1"}}),
        ("PUT", f"{path}/a", {"meta": {"b": "1"}}),
        ("PUT", f"{path}/a", {"meta": {"a": "1", "b": "1"}}),
    ):
        await world.call(method, address, body, status=400)
    many = {"metadata": {str(number): "x" for number in range(129)}}
    await world.call("PUT", path, many, status=403)
    assert (await world.get(f"/servers/{server_id}/metadata")) == {"metadata": {"c": "4"}}


async def test_tags_come_and_go_from_2_26_on(world: World) -> None:
    server_id = await world.boot()
    path = f"/v2.1/servers/{server_id}/tags"
    await world.call("GET", path, status=404)
    how: dict[str, Any] = {"version": "2.26"}
    put = await world.call("PUT", f"{path}/blue", status=201, **how)
    assert put.headers["location"].endswith(f"/servers/{server_id}/tags/blue")
    assert put.content == b""
    await world.call("PUT", f"{path}/blue", status=204, **how)
    await world.call("GET", f"{path}/blue", status=204, **how)
    assert (await world.call("PUT", path, {"tags": ["x", "y", "x"]}, status=200, **how)).json() == {"tags": ["x", "y"]}
    await world.call("DELETE", f"{path}/blue", status=404, **how)
    await world.call("DELETE", f"{path}/x", status=204, **how)
    assert (await world.call("GET", path, status=200, **how)).json() == {"tags": ["y"]}
    await world.call("DELETE", path, status=204, **how)
    await world.call("PUT", path, {"tags": [str(number) for number in range(50)]}, status=200, **how)
    await world.call("PUT", f"{path}/one-more", status=400, **how)
    await world.call("PUT", f"{path}/{'x' * 61}", status=400, **how)
    await world.call("PUT", path, {"tags": ["a,b"]}, status=400, **how)


async def test_what_was_asked_of_a_server_is_listed(world: World) -> None:
    reply = await world.call("POST", "/v2.1/servers", {"server": {
        "name": "web", "flavorRef": "1", "imageRef": "11111111-1111-4111-8111-111111111111",
    }}, status=202)  # fmt: skip
    server_id = reply.json()["server"]["id"]
    (action,) = (await world.get(f"/servers/{server_id}/os-instance-actions"))["instanceActions"]
    assert (action["action"], action["project_id"], action["message"]) == ("create", ALICE, None)
    path = f"/servers/{server_id}/os-instance-actions/{action['request_id']}"
    assert "events" not in (await world.get(path))["instanceAction"]
    shown = (await world.get(path, version="2.62"))["instanceAction"]
    assert shown["events"][0]["result"] is None
    world.db.write_now(actions.finish, server_id, action["request_id"], "No valid host")
    shown = (await world.get(path, version="2.84"))["instanceAction"]
    assert (shown["message"], shown["events"][0]["result"]) == ("Error", "Error")
    assert shown["events"][0]["details"] == "No valid host"
    await world.call("GET", f"/v2.1/servers/{server_id}/os-instance-actions/req-none", status=404)
    world.db.write_now(servers.set_deleted, server_id)
    await world.call("GET", f"/v2.1{path}", status=404)
    await world.call("GET", f"/v2.1{path}", version="2.21", status=200)
    assert world.db.read_now(server_details.actions, server_id)[0].finished_at is not None


def volume(world: World, project: str = ALICE) -> str:
    moment = world.db.read_now(servers.list_servers)[0].created_at
    made = Volume(
        id=str(uuid.uuid4()), project_id=project, user_id="u", size_gb=1, status="available", created_at=moment
    )
    world.db.write_now(volumes.create, made, {"volumes": -1, "gigabytes": -1})
    return made.id


async def test_volumes_are_attached_and_detached(world: World) -> None:
    server_id = await active_server(world)
    path = f"/v2.1/servers/{server_id}/os-volume_attachments"
    volume_id = volume(world)
    body = {"volumeAttachment": {"volumeId": volume_id}}
    made = (await world.call("POST", path, body, status=200)).json()["volumeAttachment"]
    assert made == {"id": volume_id, "volumeId": volume_id, "serverId": server_id, "device": "/dev/vdb"}
    body["volumeAttachment"]["delete_on_termination"] = True  # type: ignore[assignment]
    await world.call("POST", path, body, version="2.78", status=400)
    made = (await world.call("POST", path, body, version="2.79", status=200)).json()["volumeAttachment"]
    assert (made["delete_on_termination"], made["tag"]) == (True, None)
    assert world.starts.attached == [(server_id, volume_id, False), (server_id, volume_id, True)]
    (shown,) = (await world.get(f"/servers/{server_id}/os-volume_attachments"))["volumeAttachments"]
    assert set(shown) == {"id", "volumeId", "serverId", "device"}
    shown = (await world.get(f"/servers/{server_id}/os-volume_attachments/v1", version="2.89"))["volumeAttachment"]
    fields = {"attachment_id", "bdm_uuid", "volumeId", "serverId", "device", "tag", "delete_on_termination"}
    assert set(shown) == fields
    assert (await world.call("DELETE", f"{path}/v1", status=202)).content == b""
    assert world.starts.detached == [(server_id, "v1")]
    await world.call("DELETE", f"{path}/{volume_id}", status=404)
    await world.call("GET", f"{path}/{volume_id}", status=404)


async def test_bad_attachments_start_nothing(lite: World) -> None:
    server_id = await active_server(lite)
    path = f"/v2.1/servers/{server_id}/os-volume_attachments"
    other = volume(lite, BOB)
    for volume_id, status in ((str(uuid.uuid4()), 404), (other, 404), ("../x", 400), (None, 400), (1, 400)):
        await lite.call("POST", path, {"volumeAttachment": {"volumeId": volume_id}}, status=status)
    bad = {"volumeAttachment": {"volumeId": volume(lite), "device": "/dev/vdb\n"}}
    await lite.call("POST", path, bad, status=400)
    assert lite.starts.attached == []
