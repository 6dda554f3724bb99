"""Versions, types, zones, limits and quota sets."""

import jsonschema
import pytest

from tests.api.image.harness import DEMO, OTHER, World
from tests.api.volume.test_volumes import create

CREATED = {
    "id", "name", "description", "size", "status", "attachments", "availability_zone", "bootable",
    "consistencygroup_id", "created_at", "encrypted", "links", "metadata", "multiattach", "replication_status",
    "snapshot_id", "source_volid", "updated_at", "user_id", "volume_type",
}  # fmt: skip


async def test_versions(world: World) -> None:
    async with world.client(None) as client:
        answer = await client.get("/")
        assert answer.status_code == 300
        version = answer.json()["versions"][0]
        assert (await client.get("/v3/")).json()["versions"][0]["id"] == version["id"] == "v3.0"
    jsonschema.validate(version["media-types"], {"type": "array", "minItems": 1})
    assert {"status", "updated", "id", "links", "min_version", "version", "media-types"} <= set(version)


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        (None, 200, "volume 3.0"),
        ("volume 3.27", 200, "volume 3.27"),
        ("volume latest", 200, "volume 3.71"),
        ("compute 2.90, volume 3.5", 200, "volume 3.5"),
        ("volume 3.999", 406, None),
        ("volume 2.0", 406, None),
        ("volume nonsense", 400, None),
    ],
)
async def test_microversions(world: World, asked: str | None, status: int, said: str | None) -> None:
    headers = {"OpenStack-API-Version": asked} if asked else {}
    async with world.client(**headers) as client:
        answer = await client.get("/v3/volumes")
    assert answer.status_code == status
    assert answer.headers.get("openstack-api-version") == said


async def test_fields_come_with_their_version(world: World) -> None:
    made = await create(world)
    assert set(made) == CREATED
    for version, names in (
        ("3.0", {"os-vol-tenant-attr:tenant_id", "migration_status"}),
        ("3.13", {"group_id"}),
        ("3.48", {"service_uuid", "shared_targets"}),
        ("3.63", {"volume_type_id"}),
        ("3.65", {"consumes_quota"}),
    ):
        async with world.client(**{"OpenStack-API-Version": f"volume {version}"}) as client:
            found = set((await client.get(f"/v3/volumes/{made['id']}")).json()["volume"])
        expected = {**dict.fromkeys(CREATED), **dict.fromkeys(names)}
        assert names <= found
        if version == "3.0":
            assert found == set(expected)


async def test_zones_services_and_extensions(world: World) -> None:
    async with world.client() as client:
        zones = (await client.get("/v3/os-availability-zone")).json()["availabilityZoneInfo"]
        assert zones == [{"zoneName": "nova", "zoneState": {"available": True}}]
        assert "Hosts" in [one["name"] for one in (await client.get("/v3/extensions")).json()["extensions"]]
        assert (await client.get("/v3/os-services")).status_code == 403
    async with world.client("admin:admin") as client:
        assert (await client.get("/v3/os-services")).json()["services"][0]["state"] == "up"


async def test_types(world: World) -> None:
    async with world.client("admin:admin") as client:
        made = (
            await client.post("/v3/types", json={"volume_type": {"name": "fast", "extra_specs": {"a": "b"}}})
        ).json()
        type_id = made["volume_type"]["id"]
        assert (await client.post("/v3/types", json={"volume_type": {"name": "fast"}})).status_code == 409
        answer = await client.post(f"/v3/types/{type_id}/extra_specs", json={"extra_specs": {"c": "d"}})
        assert answer.json() == {"extra_specs": {"c": "d"}}
        specs = (await client.get(f"/v3/types/{type_id}/extra_specs")).json()
        assert specs == {"extra_specs": {"a": "b", "c": "d"}}
        assert (await client.get(f"/v3/types/{type_id}/extra_specs/c")).json() == {"c": "d"}
        assert (await client.delete(f"/v3/types/{type_id}/extra_specs/c")).status_code == 202
        assert (await client.put(f"/v3/types/{type_id}", json={"volume_type": {"name": "slow"}})).status_code == 200
    volume = await create(world, volume_type="slow")
    async with world.client() as client:
        assert (await client.post("/v3/types", json={"volume_type": {"name": "x"}})).status_code == 403
        names = [one["name"] for one in (await client.get("/v3/types")).json()["volume_types"]]
        assert names == ["qcow2", "slow"]
        assert (await client.get("/v3/types/default")).json()["volume_type"]["name"] == "qcow2"
        assert (await client.get("/v3/types/slow")).status_code == 404
    async with world.client("admin:admin") as client:
        assert (await client.delete(f"/v3/types/{type_id}")).status_code == 400
        await client.delete(f"/v3/volumes/{volume['id']}")
        assert (await client.delete(f"/v3/types/{type_id}")).status_code == 202
        assert (await client.get(f"/v3/types/{type_id}")).status_code == 404


async def test_quota_sets(world: World) -> None:
    path = f"/v3/os-quota-sets/{DEMO}"
    await create(world)
    async with world.client() as client:
        assert (await client.get(path)).json()["quota_set"]["volumes"] == 5
        used = (await client.get(path, params={"usage": "True"})).json()["quota_set"]
        assert used["gigabytes"] == {"limit": 20, "in_use": 1, "reserved": 0}
        assert (await client.get(f"/v3/os-quota-sets/{OTHER}")).status_code == 403
        assert (await client.put(path, json={"quota_set": {"volumes": 1}})).status_code == 403
    async with world.client("admin:admin") as client:
        assert (await client.put(path, json={"quota_set": {"volumes": "x"}})).status_code == 400
        assert (await client.put(path, json={"quota_set": {"volumes": 1}})).json()["quota_set"]["volumes"] == 1
    async with world.client() as client:
        assert (await client.post("/v3/volumes", json={"volume": {"size": 1}})).status_code == 413
    async with world.client("admin:admin") as client:
        assert (await client.delete(path)).status_code == 200
    await create(world)
