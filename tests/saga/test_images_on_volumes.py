"""A server on volumes as an image, and servers that are booted from it."""

import json
from typing import Any

from infra.db import images, servers, snapshots, volumes
from infra.domain.image_devices import MAPPING
from infra.domain.server import Server
from tests.saga.images_on_volumes import boot_from_volume, image_of, snapshots_of
from tests.saga.scenarios import save
from tests.saga.world import FLAVOR, Place, World, until


async def boot(world: World, place: Place, status: int = 202, **fields: Any) -> str:
    body = {"name": "again", "flavorRef": FLAVOR, "networks": [{"uuid": place.network_id}], **fields}
    reply = await world.call(place, "POST", "/compute/v2.1/servers", {"server": body}, status=status)
    return str(reply.json()["server"]["id"]) if status == 202 else reply.text


def describe(world: World, image_id: str, mapping: str) -> None:
    changed = {"properties": {MAPPING: mapping}}
    world.db.write_now(images.update, image_id, lambda image: image.model_copy(update=changed))


async def ended(world: World, server_id: str, *states: str) -> Server:
    def found() -> Server | None:
        return world.db.read_now(servers.find, server_id)

    await until(lambda: (now := found()) is not None and now.vm_state in states and now.op is None, 60, lambda: "busy")
    server = found()
    assert server is not None
    return server


async def test_a_server_is_booted_from_the_image_of_another_on_volumes(cloud: World) -> None:
    place = await cloud.place()
    facts = {"image_metadata": {"image_id": "i", "os_distro": "cirros", "min_ram": "64"}}
    cloud.db.write_now(volumes.update, place.volume_id, None, facts)
    await boot_from_volume(cloud, place)
    await save(cloud, place, status=202)
    await cloud.settled(place)
    image = image_of(cloud, place)
    assert image is not None
    assert (image.size, image.min_ram, image.properties["os_distro"]) == (0, 64, "cirros")
    (kept,) = await snapshots_of(cloud, place, 1)

    server = await ended(cloud, await boot(cloud, place, imageRef=image.id), "active", "error")
    assert server.fault is None
    shown = (await cloud.call(place, "GET", f"/compute/v2.1/servers/{server.id}", status=200)).json()["server"]
    assert shown["image"] == ""
    (attached,) = shown["os-extended-volumes:volumes_attached"]
    made = cloud.db.read_now(volumes.get, attached["id"])
    assert (made.status, made.snapshot_id, made.bootable, made.image_metadata["image_id"]) == (
        "in-use",
        kept,
        True,
        "i",
    )
    guest = cloud.hosts[str(server.host)].driver.guest(server.id)
    assert [(disk.device, disk.serial) for disk in guest.disks] == [("vda", made.id[:20])]

    # What the request says of a device of the image's is what counts, and another comes beside it.
    beside = {"source_type": "snapshot", "destination_type": "volume", "uuid": kept, "boot_index": -1}
    other = await ended(
        cloud, await boot(cloud, place, imageRef=image.id, block_device_mapping_v2=[beside]), "active", "error"
    )
    assert (other.fault, len(other.block_devices)) == (None, 2)

    for one in (server, other):
        await cloud.call(place, "DELETE", f"/compute/v2.1/servers/{one.id}", status=204)
        await ended(cloud, one.id, "deleted")
    await cloud.delete(place)
    await cloud.settled(place)


async def test_an_image_that_describes_nothing_that_is_there_boots_nothing(cloud: World) -> None:
    place = await cloud.place()
    await boot_from_volume(cloud, place)
    await save(cloud, place, status=202)
    await cloud.settled(place)
    image = image_of(cloud, place)
    assert image is not None
    good = json.loads(image.properties[MAPPING])[0]
    for devices in (
        "{",
        [{**good, "snapshot_id": "../x"}],
        [{**good, "snapshot_id": None}],
        [{**good, "destination_type": "local"}],
        [{**good, "boot_index": 300}],
        [good, good],
        [good] * 30,
    ):
        wrong = {MAPPING: devices if isinstance(devices, str) else json.dumps(devices)}
        cloud.db.write_now(
            images.update, image.id, lambda one, wrong=wrong: one.model_copy(update={"properties": wrong})
        )
        await boot(cloud, place, 400, imageRef=image.id)
    describe(cloud, image.id, image.properties[MAPPING])
    (kept,) = await snapshots_of(cloud, place, 1)
    cloud.db.write_now(snapshots.update, kept, None, {"status": "error"})
    await boot(cloud, place, 400, imageRef=image.id)
    await cloud.act(place, "createBackup", status=400, argument={"name": "x", "backup_type": "daily", "rotation": 1})
    await cloud.delete(place)
    await cloud.settled(place)
