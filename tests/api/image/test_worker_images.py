"""What workers do to images: make them by a key, undo them, and own some."""

import uuid
from typing import Any

from tests.api.image.harness import DEMO, OTHER, World
from tests.api.image.test_image_data import files, show, upload
from tests.api.image.test_images import change, create

KEY = "5e54e400-0000-4000-8000-000000000001/1/image/x"
FIELDS: dict[str, Any] = {"name": "s", "disk_format": "raw", "container_format": "bare"}


async def reserve(world: World, image_id: str, key: str = KEY, **fields: Any) -> Any:
    headers = {"X-Service-Token": "admin:service", "Idempotency-Key": key}
    async with world.client("demo:member", **headers) as client:
        return await client.post("/v2/images", json=FIELDS | {"id": image_id} | fields)


async def withdraw(world: World, image_id: str, key: str = KEY) -> int:
    async with world.client("admin:service", **{"Idempotency-Key": key}) as client:
        return (await client.delete(f"/v2/images/{image_id}")).status_code


async def test_a_repeat_finds_the_image_made_before(world: World) -> None:
    image_id = str(uuid.uuid4())
    first = await reserve(world, image_id)
    assert first.status_code == 201
    again = await reserve(world, image_id)
    assert (again.status_code, again.json()) == (201, first.json())
    assert first.json()["owner"] == DEMO


async def test_an_undo_takes_the_image_with_its_data_whatever_it_has_become(world: World) -> None:
    image_id = str(uuid.uuid4())
    await reserve(world, image_id)
    await upload(world, image_id, b"data")
    await change(world, image_id, [{"op": "replace", "path": "/protected", "value": True}])
    for _ in range(2):
        assert await withdraw(world, image_id) == 204
    assert "No image found" in str(await show(world, image_id))
    assert files(world) == []


async def test_an_image_that_comes_after_its_undo_is_refused(world: World) -> None:
    image_id = str(uuid.uuid4())
    assert await withdraw(world, image_id) == 204
    assert (await reserve(world, image_id)).status_code == 409
    # The id itself is free, for another key.
    assert (await reserve(world, image_id, key=f"{KEY}-2")).status_code == 201


async def test_the_keys_of_users_are_not_looked_at(world: World) -> None:
    image = await create(world)
    async with world.client("demo:member", **{"Idempotency-Key": KEY}) as client:
        await client.patch(
            f"/v2/images/{image['id']}",
            json=[{"op": "replace", "path": "/protected", "value": True}],
            headers={"Content-Type": "application/openstack-images-v2.1-json-patch"},
        )
        assert (await client.delete(f"/v2/images/{image['id']}")).status_code == 403


async def test_a_service_makes_an_image_for_whom_it_says(world: World) -> None:
    async with world.client("admin:service") as client:
        made = await client.post("/v2/images", json=FIELDS | {"owner": OTHER, "os_hidden": True})
        assert (made.status_code, made.json()["owner"], made.json()["os_hidden"]) == (201, OTHER, True)
    async with world.client("demo:member", **{"X-Service-Token": "admin:service"}) as client:
        assert (await client.post("/v2/images", json=FIELDS | {"owner": OTHER})).status_code == 403
