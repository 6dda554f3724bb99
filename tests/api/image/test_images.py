"""Images as clients make, list, change and delete them."""

import json

import httpx
import pytest

from tests.api.image.harness import DEMO, OTHER, World

JSON = {"Content-Type": "application/json"}
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
OLD_PATCH = {"Content-Type": "application/openstack-images-v2.0-json-patch"}


async def create(world: World, token: str = "demo:member", **fields: object) -> dict:
    body = {"name": "cirros", "disk_format": "raw", "container_format": "bare", **fields}
    async with world.client(token) as client:
        answer = await client.post("/v2/images", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def change(world: World, image_id: str, operations: list, token: str = "demo:member") -> httpx.Response:
    async with world.client(token) as client:
        return await client.patch(f"/v2/images/{image_id}", json=operations, headers=PATCH)


async def test_a_new_image_is_queued_and_belongs_to_its_project(world: World) -> None:
    image = await create(
        world, ramdisk_id="00000000-1111-2222-3333-444455556666", hw_disk_bus="virtio", tags=["a", "a"]
    )
    assert image["status"] == "queued"
    assert image["owner"] == DEMO
    assert image["visibility"] == "shared"
    assert image["size"] is None
    assert image["hw_disk_bus"] == "virtio"
    assert image["ramdisk_id"] == "00000000-1111-2222-3333-444455556666"
    assert image["tags"] == ["a"]
    async with world.client() as client:
        assert (await client.get(f"/v2/images/{image['id']}")).json() == image
        assert (await client.get(f"/v2/images/{image['id']}/tasks")).json() == {"tasks": []}
        assert (await client.get("/v2/images")).json()["images"] == [image]


async def test_images_of_one_second_are_listed_in_the_order_of_their_creation(world: World) -> None:
    made = [(await create(world, name=str(number)))["id"] for number in range(5)]
    async with world.client() as client:
        for query, expected in (
            ("", made[::-1]),
            ("?sort=created_at:asc", made),
            ("?sort=created_at:desc", made[::-1]),
        ):
            listed = (await client.get(f"/v2/images{query}")).json()["images"]
            assert [image["id"] for image in listed] == expected


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"disk_format": "wrong"}, 400),
        ({"container_format": "wrong"}, 400),
        ({"name": "a\nb"}, 400),
        ({"name": "x" * 256}, 400),
        ({"name": "\ud800"}, 400),
        ({"min_disk": -1}, 400),
        ({"min_disk": 2**40}, 400),
        ({"min_ram": "12"}, 400),
        ({"protected": "yes"}, 400),
        ({"hw_disk_bus": {"a": 1}}, 400),
        ({"a\x00b": "c"}, 400),
        ({"kernel_id": "../../etc/passwd"}, 400),
        ({"tags": ["x" * 256]}, 400),
        ({"tags": [str(n) for n in range(129)]}, 400),
        ({f"p{n}": "v" for n in range(129)}, 400),
        ({"id": "not-a-uuid"}, 400),
        ({"visibility": "everyone"}, 400),
        ({"visibility": "public"}, 403),
        ({"owner": OTHER}, 403),
        ({"status": "active"}, 403),
        ({"size": 5}, 403),
        ({"os_hash_value": "0"}, 403),
        ({"os_glance_failed_import": "x"}, 403),
        ({"locations": [{"url": "file:///etc/passwd", "metadata": {}}]}, 403),
    ],
)
async def test_bad_fields_are_refused_and_leave_nothing(world: World, fields: dict, status: int) -> None:
    body = {"disk_format": "raw", "container_format": "bare", **fields}
    async with world.client() as client:
        answer = await client.post("/v2/images", content=json.dumps(body), headers=JSON)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]
        assert (await client.get("/v2/images")).json()["images"] == []


async def test_a_body_that_is_no_object_is_refused(world: World) -> None:
    async with world.client() as client:
        for content in (b"[]", b"{", b"7", b""):
            assert (await client.post("/v2/images", content=content, headers=JSON)).status_code == 400


async def test_an_id_names_one_image_for_ever(world: World) -> None:
    image = await create(world, id="aaaaaaaa-1111-2222-3333-444455556666")
    assert image["id"] == "aaaaaaaa-1111-2222-3333-444455556666"
    async with world.client() as client:
        assert (await client.post("/v2/images", json={"id": image["id"]})).status_code == 409
        assert (await client.delete(f"/v2/images/{image['id']}")).status_code == 204
        assert (await client.get(f"/v2/images/{image['id']}")).status_code == 404
        assert (await client.delete(f"/v2/images/{image['id']}")).status_code == 404
        assert (await client.post("/v2/images", json={"id": image["id"]})).status_code == 409


async def test_other_projects_images_are_not_there(world: World) -> None:
    image = await create(world)
    path = f"/v2/images/{image['id']}"
    async with world.client("other:member") as client:
        assert (await client.get("/v2/images")).json()["images"] == []
        answers = [
            await client.get(path),
            await client.get(path + "/file"),
            await client.put(path + "/file", content=b"x", headers={"Content-Type": "application/octet-stream"}),
            await client.patch(path, json=[{"op": "replace", "path": "/name", "value": "x"}], headers=PATCH),
            await client.delete(path),
            await client.put(path + "/tags/x"),
            await client.post(path + "/actions/deactivate"),
            await client.get(path + "/members"),
            await client.post(path + "/members", json={"member": OTHER}),
        ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)


async def test_who_may_not_write_may_still_read(world: World) -> None:
    image = await create(world)
    path = f"/v2/images/{image['id']}"
    async with world.client("demo:reader") as client:
        assert (await client.get(path)).status_code == 200
        assert (await client.post("/v2/images", json={})).status_code == 403
        assert (await client.delete(path)).status_code == 403
        assert (await client.patch(path, json=[], headers=PATCH)).status_code == 403
    async with world.client(None) as client:
        answer = await client.get(path)
    assert answer.status_code == 401
    assert "www-authenticate" in answer.headers


async def test_public_images_are_seen_by_all_and_changed_by_administrators(world: World) -> None:
    image = await create(world, "admin:admin", visibility="public")
    async with world.client("other:member") as client:
        assert [found["id"] for found in (await client.get("/v2/images")).json()["images"]] == [image["id"]]
        assert (await client.delete(f"/v2/images/{image['id']}")).status_code == 403
    assert (await change(world, image["id"], [{"op": "replace", "path": "/name", "value": "x"}])).status_code == 403


async def test_community_images_are_found_by_those_who_ask(world: World) -> None:
    image = await create(world, visibility="community")
    async with world.client("other:member") as client:
        assert (await client.get("/v2/images")).json()["images"] == []
        found = (await client.get("/v2/images", params={"visibility": "community"})).json()["images"]
        assert (await client.get(f"/v2/images/{image['id']}")).status_code == 200
    assert [one["id"] for one in found] == [image["id"]]


async def test_a_patch_changes_own_and_custom_properties(world: World) -> None:
    image = await create(world, os_distro="debian")
    answer = await change(
        world,
        image["id"],
        [
            {"op": "replace", "path": "/name", "value": "new"},
            {"op": "add", "path": "/a~1b~0c", "value": "d"},
            {"op": "remove", "path": "/os_distro"},
            {"op": "replace", "path": "/tags", "value": ["t"]},
        ],
    )
    assert answer.status_code == 200
    changed = answer.json()
    assert (changed["name"], changed["a/b~c"], changed["tags"]) == ("new", "d", ["t"])
    assert "os_distro" not in changed


async def test_the_old_form_of_patch_still_works(world: World) -> None:
    image = await create(world)
    async with world.client() as client:
        answer = await client.patch(
            f"/v2/images/{image['id']}", json=[{"replace": "/name", "value": "new"}], headers=OLD_PATCH
        )
    assert answer.json()["name"] == "new"


@pytest.mark.parametrize(
    ("operations", "status"),
    [
        ([{"op": "replace", "path": "/nothing", "value": "x"}], 409),
        ([{"op": "remove", "path": "/nothing"}], 409),
        ([{"op": "remove", "path": "/name"}], 403),
        ([{"op": "replace", "path": "/id", "value": "x"}], 403),
        ([{"op": "replace", "path": "/status", "value": "active"}], 403),
        ([{"op": "replace", "path": "/checksum", "value": "x"}], 403),
        ([{"op": "add", "path": "/locations/-", "value": {"url": "file:///etc/passwd"}}], 403),
        ([{"op": "replace", "path": "/visibility", "value": "public"}], 403),
        ([{"op": "replace", "path": "/owner", "value": OTHER}], 403),
        ([{"op": "add", "path": "/tags/-", "value": "x"}], 400),
        ([{"op": "replace", "path": "/min_disk", "value": -1}], 400),
        ([{"op": "move", "path": "/name", "from": "/os_distro"}], 400),
        ([{"op": "replace", "path": "name", "value": "x"}], 400),
        ([{"op": "replace", "path": "/name"}], 400),
        (["x"], 400),
        ({"op": "replace"}, 400),
    ],
)
async def test_a_bad_patch_changes_nothing(world: World, operations: list, status: int) -> None:
    image = await create(world)
    answer = await change(world, image["id"], operations)
    assert answer.status_code == status, answer.text
    async with world.client() as client:
        assert (await client.get(f"/v2/images/{image['id']}")).json() == image


async def test_a_patch_of_another_type_is_refused(world: World) -> None:
    image = await create(world)
    async with world.client() as client:
        answer = await client.patch(f"/v2/images/{image['id']}", json=[])
    assert answer.status_code == 415


async def test_a_protected_image_is_kept(world: World) -> None:
    image = await create(world, protected=True)
    async with world.client() as client:
        assert (await client.delete(f"/v2/images/{image['id']}")).status_code == 403
    await change(world, image["id"], [{"op": "replace", "path": "/protected", "value": False}])
    async with world.client() as client:
        assert (await client.delete(f"/v2/images/{image['id']}")).status_code == 204


async def test_an_empty_id_is_no_image(world: World) -> None:
    async with world.client() as client:
        for method in ("GET", "DELETE", "PATCH"):
            assert (await client.request(method, "/v2/images/")).status_code == 404
        assert (await client.get("/v2/")).status_code == 200


async def test_tags_come_and_go(world: World) -> None:
    image = await create(world)
    path = f"/v2/images/{image['id']}"
    async with world.client() as client:
        for _ in range(2):
            answer = await client.put(path + "/tags/blue")
            assert (answer.status_code, answer.content) == (204, b"")
        assert (await client.get(path)).json()["tags"] == ["blue"]
        assert (await client.delete(path + "/tags/blue")).status_code == 204
        assert (await client.delete(path + "/tags/blue")).status_code == 404
        assert (await client.put(path + "/tags/" + "x" * 256)).status_code == 400


async def test_administrators_give_images_away(world: World) -> None:
    image = await create(world, "admin:admin", owner=OTHER)
    assert image["owner"] == OTHER
    answer = await change(world, image["id"], [{"op": "replace", "path": "/owner", "value": DEMO}], "admin:admin")
    assert answer.json()["owner"] == DEMO


async def test_versions_and_schemas(world: World) -> None:
    async with world.client() as client:
        answer = await client.get("/")
        assert answer.status_code == 300
        versions = answer.json()["versions"]
        assert versions[0]["status"] == "CURRENT"
        assert all({"id", "links", "status"} <= set(version) for version in versions)
        assert (await client.get("/versions")).status_code == 200
        for name in ("image", "images", "member", "members"):
            assert (await client.get(f"/v2/schemas/{name}")).json()["name"] == name
        assert (await client.get("/v2/info/import")).json()["import-methods"]["value"] == []
        assert (await client.get("/v2/info/stores")).json()["stores"]
