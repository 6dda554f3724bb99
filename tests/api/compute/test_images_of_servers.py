"""``createImage`` and ``createBackup``: what is started, what the image is, and what the answer says."""

from typing import Any

import pytest

from infra.db import images, server_details, servers
from infra.db.tables.servers import ServerRow
from infra.domain.server import TaskState, Verb, VmState
from tests.api.compute.conftest import ALICE, IMAGE, World
from tests.api.compute.test_server_views import active_server
from workflows.create_image import CreateImageParams


async def act(world: World, server_id: str, body: Any, **how: Any) -> Any:
    return await world.call("POST", f"/v2.1/servers/{server_id}/action", body, **how)


def started(world: World) -> CreateImageParams:
    params = world.starts.runs[-1][2]
    assert isinstance(params, CreateImageParams)
    return params


async def test_the_answer_names_the_image(world: World) -> None:
    server_id = await active_server(world)
    reply = await act(world, server_id, {"createImage": {"name": "copy"}}, status=202)
    assert reply.content == b""
    assert reply.headers["location"].endswith(f"/image/v2/images/{started(world).image_id}")
    reply = await act(world, server_id, {"createImage": {"name": "copy"}}, version="2.45", status=202)
    assert reply.json() == {"image_id": started(world).image_id}
    assert "location" not in reply.headers


async def test_the_image_has_what_its_base_had_and_what_the_user_gives(world: World) -> None:
    server_id = await active_server(world)
    properties = {"hw_disk_bus": "virtio", "os_distro": "cirros", "img_signature": "x", "kernel_id": None}
    changed = {"min_ram": 64, "properties": properties}
    world.db.write_now(images.update, IMAGE, lambda image: image.model_copy(update=changed))
    body = {"createImage": {"name": "copy", "metadata": {"os_distro": "mine", "image_type": "test"}}}
    await act(world, server_id, body, status=202)
    assert started(world).fields == {
        "name": "copy",
        "visibility": "private",
        "disk_format": "qcow2",
        "container_format": "bare",
        "min_disk": 1,
        "min_ram": 64,
        "hw_disk_bus": "virtio",
        "os_distro": "mine",
        "image_type": "test",
        "instance_uuid": server_id,
        "base_image_ref": IMAGE,
        "user_id": "alice-id",
        "owner_id": ALICE,
        "image_location": "snapshot",
        "image_state": "available",
    }
    world.db.write_now(images.delete, IMAGE)
    await act(world, server_id, {"createImage": {"name": "copy"}}, status=202)
    assert (started(world).fields["min_ram"], started(world).fields["image_type"]) == (0, "snapshot")


async def test_a_backup_says_what_it_is_and_how_many_stay(world: World) -> None:
    server_id = await active_server(world)
    body: dict[str, Any] = {"createBackup": {"name": "b", "backup_type": "daily", "rotation": "2"}}
    reply = await act(world, server_id, body, status=202)
    assert reply.headers["location"].endswith(started(world).image_id)
    fields = started(world).fields
    assert (fields["image_type"], fields["backup_type"]) == ("backup", "daily")
    assert started(world).rotation is not None
    assert world.starts.runs[-1][1] is Verb.CREATE_BACKUP
    body["createBackup"]["rotation"] = 0
    for version in ("2.1", "2.45"):
        reply = await act(world, server_id, body, version=version, status=202)
        assert (reply.content, reply.headers.get("location"), started(world).image_id) == (b"", None, "")


@pytest.mark.parametrize("state", VmState)
async def test_only_a_disk_that_is_all_there_is_copied(world: World, state: VmState) -> None:
    server_id = await active_server(world)
    world.db.write_now(_put, server_id, vm_state=state)
    fine = state in (VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED)
    expected = 404 if state is VmState.DELETED else 202 if fine else 409
    await act(world, server_id, {"createImage": {"name": "copy"}}, status=expected)
    if fine:
        world.db.write_now(_put, server_id, task_state=TaskState.IMAGE_SNAPSHOT)
        await act(world, server_id, {"createImage": {"name": "copy"}}, status=409)


def _put(session: Any, server_id: str, **values: Any) -> None:
    row = session.get(ServerRow, server_id)
    for name, value in values.items():
        setattr(row, name, value)
    session.add(row)


async def test_a_server_on_a_volume_has_no_disk_of_its_own(world: World) -> None:
    server_id = await active_server(world)
    world.db.write_now(_put, server_id, image_id=None)
    await act(world, server_id, {"createImage": {"name": "copy", "metadata": {"a": "b"}}}, status=202)
    params = started(world)
    assert params.on_volumes
    assert (params.fields["bdm_v2"], params.fields["root_device_name"], params.fields["a"]) == ("True", "/dev/vda", "b")
    world.starts.runs.clear()
    backup = {"createBackup": {"name": "copy", "backup_type": "daily", "rotation": 1}}
    reply = await act(world, server_id, backup, status=400)
    assert "volume-backed" in reply.text
    assert world.starts.runs == []


async def test_a_locked_server_is_not_copied(world: World) -> None:
    server_id = await active_server(world)
    world.db.write_now(server_details.set_lock, server_id, True, None)
    await act(world, server_id, {"createImage": {"name": "copy"}}, status=409)
    await act(world, server_id, {"createImage": {"name": "copy"}}, by="bob", status=404)
    assert world.starts.runs == []
    assert world.db.read_now(servers.get, server_id).task_state is None


async def test_the_older_list_of_images_knows_whose_disk_one_was(lite: World) -> None:
    server_id = await active_server(lite)
    of_server = {"image_type": "snapshot", "instance_uuid": server_id}
    lite.db.write_now(images.update, IMAGE, lambda image: image.model_copy(update={"properties": of_server}))
    (shown,) = (await lite.get("/images/detail"))["images"]
    assert shown["server"]["id"] == server_id
    shown_by = (f"server={server_id}", f"server=http://nova/servers/{server_id}", "type=snapshot")
    for query in (*shown_by, "changes-since=2020-01-01T00:00:00Z"):
        assert len((await lite.get(f"/images?{query}"))["images"]) == 1, query
    for query in ("server=other", "type=backup", "changes-since=2099-01-01T00:00:00Z"):
        assert (await lite.get(f"/images?{query}"))["images"] == [], query
    await lite.call("GET", "/v2.1/images?changes-since=now", status=400)
