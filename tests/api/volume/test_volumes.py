"""Volumes as clients make, list, change and delete them."""

import subprocess
import uuid
from pathlib import Path

import httpx
import pytest

from infra.db import images
from infra.db.types import now
from infra.domain.image import Image
from tests.api.image.harness import DEMO, OTHER, World
from tests.api.volume.conftest import Worker

SERVER = "99999999-0000-0000-0000-000000000001"


async def create(world: World, token: str = "demo:member", **fields: object) -> dict:
    async with world.client(token) as client:
        answer = await client.post("/v3/volumes", json={"volume": {"size": 1, **fields}})
    assert answer.status_code == 202, answer.text
    return answer.json()["volume"]


async def show(world: World, volume_id: str, token: str = "demo:member") -> dict:
    async with world.client(token) as client:
        answer = await client.get(f"/v3/volumes/{volume_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()["volume"]


async def act(
    world: World, volume_id: str, action: str, argument: object = None, token: str = "demo:member"
) -> httpx.Response:
    async with world.client(token) as client:
        return await client.post(f"/v3/volumes/{volume_id}/action", json={action: argument})


async def make_image(world: World, content: bytes, disk_format: str = "raw", **changes: object) -> str:
    """An active image of the demo project's."""
    image_id = str(uuid.uuid4())

    async def once():
        yield content

    stored = await world.services.images.put(image_id, disk_format, once(), 10_000_000)
    values = {
        "id": image_id,
        "name": "cirros",
        "owner": DEMO,
        "status": "active",
        "disk_format": disk_format,
        "container_format": "bare",
        "size": stored.size,
        "virtual_size": stored.virtual_size,
        "checksum": stored.checksum,
        "created_at": now(),
        "updated_at": now(),
        **changes,
    }
    world.services.db.write_now(images.create, Image(**values))
    return image_id


def data_of(world: World, volume_id: str) -> bytes:
    """The first bytes of a volume as a guest would see them."""
    path = world.services.volumes.connection(volume_id).path
    raw = path.with_suffix(".raw")
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw], check=True)
    with raw.open("rb") as file:
        found = file.read(4096)
    raw.unlink()
    return found


async def test_a_new_volume_becomes_available(world: World) -> None:
    made = await create(world, name="data", description="d", metadata={"a": "b"})
    assert made["status"] == "creating"
    assert "os-vol-tenant-attr:tenant_id" not in made
    assert "volume_type_id" not in made
    found = await show(world, made["id"])
    assert (found["status"], found["size"], found["name"], found["bootable"]) == ("available", 1, "data", "false")
    assert found["metadata"] == {"a": "b"}
    assert found["os-vol-tenant-attr:tenant_id"] == DEMO
    assert world.services.volumes.volumes() == [made["id"]]


async def test_both_forms_of_url_and_an_empty_id(world: World) -> None:
    made = await create(world)
    async with world.client() as client:
        for path in (f"/v3/{DEMO}/volumes", "/v3/volumes"):
            assert [one["id"] for one in (await client.get(path)).json()["volumes"]] == [made["id"]]
        for method in ("GET", "PUT", "DELETE"):
            assert (await client.request(method, "/v3/volumes/", json={})).status_code == 404
        links = (await client.get(f"/v3/{DEMO}/volumes/{made['id']}")).json()["volume"]["links"]
        assert links[0]["href"].endswith(f"/volume/v3/{DEMO}/volumes/{made['id']}")
        assert (await client.get(f"/v3/{OTHER}/volumes")).status_code == 404


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"size": ""}, 400), ({"size": "#$%"}, 400), ({"size": 0}, 400), ({"size": "0"}, 400), ({"size": -1}, 400),
        ({"size": "-1"}, 400), ({"size": 1.5}, 400), ({"size": True}, 400), ({"size": None}, 400),
        ({"size": 2**40}, 400), ({"name": "x" * 256}, 400), ({"name": "a\x00b"}, 400), ({"name": 5}, 400),
        ({"metadata": {"a": {"b": "c"}}}, 400), ({"metadata": {"": "c"}}, 400), ({"metadata": {"a": "x" * 256}}, 400),
        ({"availability_zone": "moon"}, 400), ({"multiattach": True}, 400), ({"nonsense": 1}, 400),
        ({"id": str(uuid.uuid4())}, 400), ({"imageRef": "nothing"}, 400), ({"imageRef": str(uuid.uuid4())}, 400),
        ({"snapshot_id": str(uuid.uuid4())}, 404), ({"source_volid": str(uuid.uuid4())}, 404),
        ({"volume_type": "nothing"}, 404), ({"size": 21}, 413),
    ],
)  # fmt: skip
async def test_bad_requests_are_refused_and_leave_nothing(world: World, fields: dict, status: int) -> None:
    async with world.client() as client:
        answer = await client.post("/v3/volumes", json={"volume": {"size": 1, **fields}})
        assert answer.status_code == status, answer.text
        assert next(iter(answer.json().values()))["message"]
        assert (await client.get("/v3/volumes")).json()["volumes"] == []
    assert world.services.volumes.volumes() == []


async def test_sizes_as_text_are_numbers(world: World) -> None:
    assert (await create(world, size="2"))["size"] == 2


async def test_the_quota_counts_what_is_there(world: World) -> None:
    made = [await create(world, size=4) for _ in range(5)]
    async with world.client() as client:
        assert (await client.post("/v3/volumes", json={"volume": {"size": 1}})).status_code == 413
        await client.delete(f"/v3/volumes/{made[0]['id']}")
        assert (await client.post("/v3/volumes", json={"volume": {"size": 5}})).status_code == 413
        assert (await client.post("/v3/volumes", json={"volume": {"size": 4}})).status_code == 202
        absolute = (await client.get("/v3/limits")).json()["limits"]["absolute"]
    assert (absolute["totalVolumesUsed"], absolute["totalGigabytesUsed"]) == (5, 20)


async def test_deleting_removes_row_and_data(world: World) -> None:
    made = await create(world)
    async with world.client() as client:
        answer = await client.delete(f"/v3/volumes/{made['id']}")
        assert (answer.status_code, answer.content) == (202, b"")
        assert (await client.get(f"/v3/volumes/{made['id']}")).status_code == 404
        assert (await client.delete(f"/v3/volumes/{made['id']}")).status_code == 404
    assert world.services.volumes.volumes() == []


async def test_without_temporal_nothing_is_made(world: World, worker: Worker) -> None:
    worker.away = True
    async with world.client() as client:
        answer = await client.post("/v3/volumes", json={"volume": {"size": 1}})
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        statuses = {volume["status"] for volume in (await client.get("/v3/volumes/detail")).json()["volumes"]}
    assert statuses <= {"deleting"}


async def test_other_projects_volumes_are_not_there(world: World) -> None:
    made = await create(world)
    path = f"/v3/volumes/{made['id']}"
    async with world.client("other:member") as client:
        assert (await client.get("/v3/volumes/detail")).json()["volumes"] == []
        answers = [
            await client.get(path),
            await client.put(path, json={"volume": {"name": "x"}}),
            await client.delete(path),
            await client.get(path + "/metadata"),
            await client.post(path + "/action", json={"os-reserve": None}),
            await client.post("/v3/volumes", json={"volume": {"size": 1, "source_volid": made["id"]}}),
            await client.post("/v3/snapshots", json={"snapshot": {"volume_id": made["id"]}}),
            await client.post(
                "/v3/attachments", json={"attachment": {"volume_uuid": made["id"], "instance_uuid": SERVER}}
            ),
        ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)


async def test_readers_read(world: World) -> None:
    made = await create(world)
    async with world.client("demo:reader") as client:
        assert (await client.get(f"/v3/volumes/{made['id']}")).status_code == 200
        assert (await client.post("/v3/volumes", json={"volume": {"size": 1}})).status_code == 403
        assert (await client.delete(f"/v3/volumes/{made['id']}")).status_code == 403
    async with world.client(None) as client:
        assert (await client.get("/v3/volumes")).status_code == 401


async def test_a_volume_from_an_image_holds_its_data(world: World) -> None:
    image_id = await make_image(world, b"boot me" + bytes(100_000), min_ram=64, properties={"os_distro": "debian"})
    made = await create(world, imageRef=image_id)
    found = await show(world, made["id"])
    assert (found["status"], found["bootable"]) == ("available", "true")
    assert found["volume_image_metadata"]["image_id"] == image_id
    assert found["volume_image_metadata"]["os_distro"] == "debian"
    assert found["volume_image_metadata"]["min_ram"] == "64"
    assert data_of(world, made["id"]).startswith(b"boot me")


async def test_images_that_no_volume_is_made_from(world: World, tmp_path: Path) -> None:
    big = tmp_path / "big.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", big, "2G"], check=True)  # noqa: ASYNC221
    refused = [
        await make_image(world, big.read_bytes(), "qcow2"),
        await make_image(world, b"x" * 600, min_disk=2),
        await make_image(world, b"x" * 600, status="deactivated"),
        await make_image(world, b"x" * 600, "aki"),
        await make_image(world, b"x" * 600, owner=OTHER, visibility="private"),
    ]
    async with world.client() as client:
        for image_id in refused:
            answer = await client.post("/v3/volumes", json={"volume": {"size": 1, "imageRef": image_id}})
            assert answer.status_code == 400
    assert world.services.volumes.volumes() == []


async def test_a_clone_holds_its_sources_data_and_may_be_larger(world: World) -> None:
    source = await create(world, imageRef=await make_image(world, b"original" + bytes(1000)))
    clone = await create(world, source_volid=source["id"], size=2)
    async with world.client() as client:
        body = {"volume": {"source_volid": source["id"]}}
        same = (await client.post("/v3/volumes", json=body)).json()["volume"]
        body = {"volume": {"source_volid": clone["id"], "size": 1}}
        assert (await client.post("/v3/volumes", json=body)).status_code == 400
    assert (same["size"], same["bootable"]) == (1, "true")
    assert data_of(world, clone["id"]).startswith(b"original")


async def test_a_volume_goes_with_its_snapshots_where_that_is_asked_for(world: World) -> None:
    source, other = await create(world), await create(world)
    async with world.client() as client:
        for volume in (source, other):
            made = await client.post("/v3/snapshots", json={"snapshot": {"volume_id": volume["id"]}})
            assert made.status_code == 202
        kept = made.json()["snapshot"]["id"]
        answer = await client.delete(f"/v3/volumes/{source['id']}", params={"cascade": "True"})
        assert (answer.status_code, answer.content) == (202, b"")
        assert (await client.get(f"/v3/volumes/{source['id']}")).status_code == 404
        listed = (await client.get("/v3/snapshots")).json()["snapshots"]
        assert [snapshot["id"] for snapshot in listed] == [kept]
    assert sorted(world.services.volumes.volumes()) == sorted([other["id"], kept])


async def test_a_volume_in_use_is_snapshot_by_force_or_from_3_66_on(world: World) -> None:
    volume = await create(world)
    attach = {"instance_uuid": SERVER, "mountpoint": "/dev/vdb"}
    assert (await act(world, volume["id"], "os-attach", attach)).status_code == 202
    new: dict[str, object] = {"volume_id": volume["id"]}
    later = {"OpenStack-API-Version": "volume 3.66"}
    async with world.client() as client:
        for refused in (new, new | {"force": True, "id": SERVER}):
            assert (await client.post("/v3/snapshots", json={"snapshot": refused})).status_code == 400
        made = await client.post("/v3/snapshots", json={"snapshot": new | {"force": True}})
        assert made.status_code == 202, made.text
        refused = await client.post("/v3/snapshots", json={"snapshot": new | {"force": False}}, headers=later)
        assert refused.status_code == 400
        assert (await client.post("/v3/snapshots", json={"snapshot": new}, headers=later)).status_code == 202
        assert (await show(world, volume["id"]))["status"] == "in-use"
        snapshot = made.json()["snapshot"]["id"]
        assert (await client.delete(f"/v3/snapshots/{snapshot}")).status_code == 202
        assert (await client.get(f"/v3/snapshots/{snapshot}")).status_code == 404


async def test_a_snapshot_keeps_what_was_there(world: World) -> None:
    source = await create(world, imageRef=await make_image(world, b"before" + bytes(1000)))
    async with world.client() as client:
        body = {"snapshot": {"volume_id": source["id"], "name": "s", "metadata": {"a": "b"}}}
        answer = await client.post("/v3/snapshots", json=body)
        assert answer.status_code == 202, answer.text
        snapshot_id = answer.json()["snapshot"]["id"]
        found = (await client.get(f"/v3/snapshots/{snapshot_id}")).json()["snapshot"]
        assert (found["status"], found["size"], found["metadata"]) == ("available", 1, {"a": "b"})
        assert (await client.delete(f"/v3/volumes/{source['id']}")).status_code == 400
        restored = await create(world, snapshot_id=snapshot_id, size=2)
        assert data_of(world, restored["id"]).startswith(b"before")
        listed = (await client.get("/v3/snapshots/detail", params={"volume_id": source["id"]})).json()["snapshots"]
        assert [one["id"] for one in listed] == [snapshot_id]
        assert (await client.get("/v3/snapshots", params={"sort": "some_key"})).status_code == 400
        answer = await client.put(f"/v3/snapshots/{snapshot_id}", json={"snapshot": {"name": "t"}})
        assert answer.json()["snapshot"]["name"] == "t"
        answer = await client.delete(f"/v3/snapshots/{snapshot_id}")
        assert (answer.status_code, answer.content) == (202, b"")
        assert (await client.get(f"/v3/snapshots/{snapshot_id}")).status_code == 404
        assert (await client.delete(f"/v3/volumes/{source['id']}")).status_code == 202
    assert world.services.volumes.volumes() == [restored["id"]]


async def test_changes_of_name_description_and_metadata(world: World) -> None:
    made = await create(world, name="a", metadata={"k": "v"})
    path = f"/v3/volumes/{made['id']}"
    async with world.client() as client:
        answer = await client.put(path, json={"volume": {"name": "b", "description": None}})
        assert answer.status_code == 200
        assert (answer.json()["volume"]["name"], answer.json()["volume"]["metadata"]) == ("b", {"k": "v"})
        assert "os-vol-tenant-attr:tenant_id" not in answer.json()["volume"]
        assert (await client.put(path, json={"volume": {}})).status_code == 400
        assert (await client.post(path + "/metadata", json={"metadata": {"x": "y"}})).json()["metadata"] == {
            "k": "v",
            "x": "y",
        }
        assert (await client.put(path + "/metadata", json={"metadata": {"z": "1"}})).json()["metadata"] == {"z": "1"}
        assert (await client.put(path + "/metadata/z", json={"meta": {"z": "2"}})).json() == {"meta": {"z": "2"}}
        assert (await client.put(path + "/metadata/z", json={"meta": {"q": "2"}})).status_code == 400
        assert (await client.get(path + "/metadata/z")).json() == {"meta": {"z": "2"}}
        answer = await client.delete(path + "/metadata/z")
        assert (answer.status_code, answer.content) == (200, b"")
        assert (await client.delete(path + "/metadata/z")).status_code == 404
        assert (await client.get(path + "/metadata")).json() == {"metadata": {}}


async def test_lists_filter_sort_and_page(world: World) -> None:
    ids = sorted([(await create(world, name=f"v{n}", metadata={"Type": "work"}))["id"] for n in range(4)])
    async with world.client() as client:

        async def listed(**params: object) -> list[str]:
            answer = await client.get("/v3/volumes/detail", params=params)
            assert answer.status_code == 200, answer.text
            return [volume["id"] for volume in answer.json()["volumes"]]

        assert len(await listed(name="v1")) == 1
        assert await listed(name="nothing") == []
        assert await listed(status="null") == []
        assert len(await listed(bootable="false")) == 4
        assert len(await listed(metadata="{'Type': 'work'}")) == 4
        assert await listed(metadata='{"Type": "play"}') == []
        assert await listed(sort="id:asc") == ids
        assert await listed(sort_key="id", sort_dir="desc", limit=2) == ids[:1:-1]
        assert await listed(marker=ids[1], sort="id:asc") == ids[2:]
        assert await listed(limit=0) == []
        for bad in (
            {"limit": "-1"},
            {"limit": "x"},
            {"sort": "size:up"},
            {"sort_key": "secret"},
            {"metadata": "x"},
        ):
            assert (await client.get("/v3/volumes", params=bad)).status_code == 400
        seen, url = [], "/v3/volumes?limit=2"
        for _ in range(3):
            body = (await client.get(url)).json()
            seen += [volume["id"] for volume in body["volumes"]]
            following = [link["href"] for link in body.get("volumes_links", [])]
            url = "/v3" + following[0].partition("/volume/v3")[2] if following else ""
        assert (sorted(seen), url) == (ids, "")


async def test_actions_that_move_the_status(world: World) -> None:
    volume_id = (await create(world))["id"]
    answer = await act(world, volume_id, "os-reserve")
    assert (answer.status_code, answer.content) == (202, b"")
    assert (await show(world, volume_id))["status"] == "attaching"
    assert (await act(world, volume_id, "os-reserve")).status_code == 400
    assert (await act(world, volume_id, "os-unreserve")).status_code == 202
    attach = {"instance_uuid": SERVER, "mountpoint": "/dev/vdb"}
    assert (await act(world, volume_id, "os-attach", attach)).status_code == 202
    found = await show(world, volume_id)
    assert found["status"] == "in-use"
    assert [(one["server_id"], one["device"], one["id"]) for one in found["attachments"]] == [
        (SERVER, "/dev/vdb", volume_id)
    ]
    assert (await act(world, volume_id, "os-attach", attach)).status_code == 400
    async with world.client() as client:
        assert (await client.delete(f"/v3/volumes/{volume_id}")).status_code == 400
    assert (await act(world, volume_id, "os-begin_detaching")).status_code == 202
    assert (await act(world, volume_id, "os-roll_detaching")).status_code == 202
    assert (await act(world, volume_id, "os-detach", {})).status_code == 202
    found = await show(world, volume_id)
    assert (found["status"], found["attachments"]) == ("available", [])


async def test_flags(world: World) -> None:
    volume_id = (await create(world))["id"]
    for flag in (True, False):
        answer = await act(world, volume_id, "os-set_bootable", {"bootable": flag})
        assert (answer.status_code, answer.content) == (200, b"")
        assert (await act(world, volume_id, "os-update_readonly_flag", {"readonly": flag})).status_code == 202
        found = await show(world, volume_id)
        assert (found["bootable"], found["metadata"]["readonly"]) == (str(flag).lower(), str(flag))


async def test_retyping_renames(world: World) -> None:
    volume_id = (await create(world))["id"]
    assert (await act(world, volume_id, "os-retype", {"new_type": "nothing"})).status_code == 404
    async with world.client("admin:admin") as client:
        await client.post("/v3/types", json={"volume_type": {"name": "fast"}})
    assert (await act(world, volume_id, "os-retype", {"new_type": "fast"})).status_code == 202
    assert (await show(world, volume_id))["volume_type"] == "fast"


async def test_extending(world: World) -> None:
    volume_id = (await create(world))["id"]
    answer = await act(world, volume_id, "os-extend", {"new_size": 3})
    assert (answer.status_code, answer.content) == (202, b"")
    found = await show(world, volume_id)
    assert (found["status"], found["size"]) == ("available", 3)
    for bad in (0, 2, 3, "abc", None):
        assert (await act(world, volume_id, "os-extend", {"new_size": bad})).status_code == 400
    assert (await act(world, volume_id, "os-extend", {"new_size": 21})).status_code == 413
    assert (await act(world, str(uuid.uuid4()), "os-extend", {"new_size": 5})).status_code == 404


async def test_a_volume_becomes_an_image(world: World) -> None:
    source = await create(world, imageRef=await make_image(world, b"copy me" + bytes(1000)))
    wanted = {"image_name": "copied", "disk_format": "qcow2", "container_format": "bare"}
    answer = await act(world, source["id"], "os-volume_upload_image", wanted)
    assert answer.status_code == 202
    image = world.services.db.read_now(images.get, answer.json()["os-volume_upload_image"]["image_id"], DEMO)
    assert (image.name, image.status, image.disk_format, image.virtual_size) == ("copied", "active", "qcow2", 1024**3)
    assert (await show(world, source["id"]))["status"] == "available"
    again = await create(world, imageRef=image.id)
    assert data_of(world, again["id"]).startswith(b"copy me")


async def test_administrators_force(world: World, worker: Worker) -> None:
    worker.paused = True
    volume_id = (await create(world))["id"]
    async with world.client() as client:
        assert (await client.delete(f"/v3/volumes/{volume_id}")).status_code == 400
    assert (await act(world, volume_id, "os-reset_status", {"status": "error"})).status_code == 403
    assert (await act(world, volume_id, "os-force_delete")).status_code == 403
    assert (await act(world, volume_id, "os-force_delete", token="admin:admin")).status_code == 202
    assert (await show(world, volume_id))["status"] == "deleting"
    await worker.carry_out(world.services, volume_id)
    async with world.client("admin:admin") as client:
        assert (await client.get("/v3/volumes", params={"all_tenants": 1})).json()["volumes"] == []


async def test_unknown_actions_and_bodies(world: World) -> None:
    volume_id = (await create(world))["id"]
    assert (await act(world, volume_id, "os-explode")).status_code == 400
    async with world.client() as client:
        for body in ([], {}, {"os-reserve": None, "os-unreserve": None}, 7):
            assert (await client.post(f"/v3/volumes/{volume_id}/action", json=body)).status_code == 400
        assert (await client.post("/v3/volumes", json={"size": 1})).status_code == 400
        assert (await client.get("/v3/volumes/%00")).status_code == 404
