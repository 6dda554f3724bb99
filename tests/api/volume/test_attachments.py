"""What workers ask of the volume service: one attachment a volume, that can be repeated, undone and not come back."""

import uuid

import httpx
import pytest

from tests.api.image.harness import World
from tests.api.volume.test_volumes import create, show

SERVER = "99999999-0000-0000-0000-000000000001"
SERVICE = {"X-Service-Token": "admin:service"}


def body(volume_id: str, attachment_id: str, attempt: int = 1, host: str = "host-1") -> dict:
    connector = {"host": host, "attempt": attempt}
    return {
        "attachment": {
            "id": attachment_id,
            "volume_uuid": volume_id,
            "instance_uuid": SERVER,
            "connector": connector,
            "mode": "rw",
        }
    }


def worker(world: World, attempt: int = 1, user: str | None = "demo:member") -> httpx.AsyncClient:
    """With the user's token and its own, or only its own, and the key of an attempt's step."""
    headers = {"Idempotency-Key": f"{SERVER}/{attempt}/attach/v"}
    if user is None:
        return world.client("admin:service", **headers)
    return world.client(user, **SERVICE, **headers)


async def test_an_attachment_from_do_to_undo(world: World) -> None:
    volume_id, attachment_id = (await create(world))["id"], str(uuid.uuid4())
    async with worker(world) as client:
        for _ in range(2):
            answer = await client.post("/v3/attachments", json=body(volume_id, attachment_id))
            assert answer.status_code == 200, answer.text
            made = answer.json()["attachment"]
            assert (made["id"], made["status"], made["instance"]) == (attachment_id, "attaching", SERVER)
            info = made["connection_info"]
            assert info["driver_volume_type"] == "local"
            assert info["data"]["path"] == str(world.services.volumes.connection(volume_id).path)
            assert info["data"]["format"] == "qcow2"
    assert (await show(world, volume_id))["status"] == "attaching"
    async with worker(world, user=None) as client:
        done = {"os-complete": {"device": "/dev/vdc"}}
        for _ in range(2):
            assert (await client.post(f"/v3/attachments/{attachment_id}/action", json=done)).status_code == 204
        found = await show(world, volume_id)
        assert (found["status"], found["attachments"][0]["device"]) == ("in-use", "/dev/vdc")
        for _ in range(2):
            answer = await client.delete(f"/v3/attachments/{attachment_id}")
            assert (answer.status_code, answer.json()) == (200, {"attachments": []})
    assert (await show(world, volume_id))["status"] == "available"


async def test_an_attachment_that_comes_after_its_undo_is_refused(world: World) -> None:
    volume_id, attachment_id = (await create(world))["id"], str(uuid.uuid4())
    async with worker(world) as client:
        assert (await client.delete(f"/v3/attachments/{attachment_id}")).status_code == 200
        answer = await client.post("/v3/attachments", json=body(volume_id, attachment_id))
    assert answer.status_code == 409
    assert (await show(world, volume_id))["status"] == "available"


async def test_a_late_undo_leaves_the_next_attempt_alone(world: World) -> None:
    volume_id, attachment_id = (await create(world))["id"], str(uuid.uuid4())
    async with worker(world, 1) as first, worker(world, 2) as second:
        await first.post("/v3/attachments", json=body(volume_id, attachment_id, 1))
        await first.delete(f"/v3/attachments/{attachment_id}")
        answer = await second.post("/v3/attachments", json=body(volume_id, attachment_id, 2, "host-2"))
        assert answer.status_code == 200
        assert (await first.delete(f"/v3/attachments/{attachment_id}")).status_code == 200
    assert (await show(world, volume_id))["status"] == "attaching"


async def test_an_attempt_that_is_not_undone_keeps_the_volume(world: World) -> None:
    volume_id, attachment_id = (await create(world))["id"], str(uuid.uuid4())
    async with worker(world, 1) as first, worker(world, 2) as second:
        await first.post("/v3/attachments", json=body(volume_id, attachment_id, 1))
        answer = await second.post("/v3/attachments", json=body(volume_id, attachment_id, 2, "host-2"))
    assert answer.status_code == 400


async def test_the_same_step_attaches_again_later(world: World) -> None:
    volume_id = (await create(world))["id"]
    async with worker(world) as client:
        for attachment_id in (str(uuid.uuid4()), str(uuid.uuid4())):
            assert (await client.post("/v3/attachments", json=body(volume_id, attachment_id))).status_code == 200
            assert (await client.delete(f"/v3/attachments/{attachment_id}")).status_code == 200


async def test_a_volume_has_one_attachment(world: World) -> None:
    volume_id = (await create(world))["id"]
    async with worker(world, 1) as client:
        assert (await client.post("/v3/attachments", json=body(volume_id, str(uuid.uuid4())))).status_code == 200
    async with worker(world, 2) as client:
        assert (await client.post("/v3/attachments", json=body(volume_id, str(uuid.uuid4())))).status_code == 400
    async with world.client() as client:
        assert (await client.delete(f"/v3/volumes/{volume_id}")).status_code == 400


async def test_a_worker_attaches_for_its_user_only(world: World) -> None:
    volume_id = (await create(world))["id"]
    async with worker(world, user="other:member") as client:
        assert (await client.post("/v3/attachments", json=body(volume_id, str(uuid.uuid4())))).status_code == 404
    async with worker(world, user="expired:demo:member") as client:
        assert (await client.post("/v3/attachments", json=body(volume_id, str(uuid.uuid4())))).status_code == 200


async def test_users_reserve_and_do_not_connect(world: World) -> None:
    volume_id = (await create(world))["id"]
    async with world.client() as client:
        assert (await client.post("/v3/attachments", json=body(volume_id, str(uuid.uuid4())))).status_code == 403
        reserve = {"attachment": {"volume_uuid": volume_id, "instance_uuid": SERVER}}
        made = (await client.post("/v3/attachments", json=reserve)).json()["attachment"]
        assert (made["status"], made["connection_info"]) == ("reserved", {})
        assert (await show(world, volume_id))["status"] == "reserved"
        assert (await client.post(f"/v3/attachments/{made['id']}/action", json={"os-complete": {}})).status_code == 403
        listed = (await client.get("/v3/attachments", params={"volume_id": volume_id})).json()["attachments"]
        assert [one["id"] for one in listed] == [made["id"]]
        assert (await client.get(f"/v3/attachments/{made['id']}")).status_code == 200
        assert (await client.delete(f"/v3/attachments/{made['id']}")).status_code == 200
        assert (await client.delete(f"/v3/attachments/{made['id']}")).status_code == 404
    assert (await show(world, volume_id))["status"] == "available"


async def test_what_was_reserved_is_connected(world: World) -> None:
    volume_id, attachment_id = (await create(world))["id"], str(uuid.uuid4())
    reserve = {"attachment": {"id": attachment_id, "volume_uuid": volume_id, "instance_uuid": SERVER}}
    async with world.client("demo:member", **SERVICE) as client:
        assert (await client.post("/v3/attachments", json=reserve)).status_code == 200
    async with worker(world) as client:
        answer = await client.post("/v3/attachments", json=body(volume_id, attachment_id))
        assert answer.json()["attachment"]["status"] == "attaching"
        await client.delete(f"/v3/attachments/{attachment_id}")
    assert (await show(world, volume_id))["status"] == "available"


@pytest.mark.parametrize("verb", ["delete", "detach"])
async def test_users_do_not_take_a_volume_from_a_guest(world: World, verb: str) -> None:
    volume_id, attachment_id = (await create(world))["id"], str(uuid.uuid4())
    async with worker(world) as client:
        await client.post("/v3/attachments", json=body(volume_id, attachment_id))
        await client.post(f"/v3/attachments/{attachment_id}/action", json={"os-complete": {}})
    async with world.client() as client:
        if verb == "delete":
            answer = await client.delete(f"/v3/attachments/{attachment_id}")
        else:
            answer = await client.post(f"/v3/volumes/{volume_id}/action", json={"os-detach": {}})
    assert answer.status_code == 409
    assert (await show(world, volume_id))["status"] == "in-use"


async def test_a_volume_made_for_a_boot_and_its_undo(world: World) -> None:
    volume_id = str(uuid.uuid4())
    wanted = {"volume": {"id": volume_id, "size": 1, "name": "", "imageRef": None}}
    key = {"Idempotency-Key": f"{SERVER}/volume/{volume_id}"}
    async with world.client("demo:member", **SERVICE, **key) as client:
        for _ in range(2):
            answer = await client.post("/v3/volumes", json=wanted)
            assert (answer.status_code, answer.json()["volume"]["id"]) == (202, volume_id)
    async with world.client("admin:service", **key) as client:
        assert (await client.delete(f"/v3/volumes/{volume_id}")).status_code == 202
        assert (await client.delete(f"/v3/volumes/{volume_id}")).status_code == 404
    async with world.client("demo:member", **SERVICE, **key) as client:
        assert (await client.post("/v3/volumes", json=wanted)).status_code == 409
    assert world.services.volumes.volumes() == []
