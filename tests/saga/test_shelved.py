"""Shelved servers as their owners see them."""

from tests.saga.moves import delete
from tests.saga.scenarios import boot_without_volume, nothing_left
from tests.saga.shelves import delete_with_image, off_host
from tests.saga.snapshot import snapshot
from tests.saga.test_moves import _status
from tests.saga.world import IMAGE, Place, World, until


def _serials(world: World, place: Place) -> list[str]:
    server = world.server(place)
    assert server is not None
    return [disk.serial for disk in world.hosts[str(server.host)].driver.guest(place.server_id).disks]


async def _shelve(world: World, place: Place) -> None:
    await world.act(place, "shelve")
    assert await _status(world, place) == "SHELVED_OFFLOADED"


async def _unshelve(world: World, place: Place) -> None:
    await world.act(place, "unshelve")
    assert await _status(world, place) == "ACTIVE"


async def test_volumes_come_and_go_while_a_paused_server_is_shelved(cloud: World) -> None:
    place = await cloud.place()
    await boot_without_volume(cloud, place)
    await cloud.act(place, "pause")
    await cloud.settled(place)
    await _shelve(cloud, place)
    await cloud.act(place, "shelve", status=409)
    assert (await cloud.attach(place)).json()["volumeAttachment"]["device"] == "/dev/vdb"
    path = f"/volume/v3/{place.project_id}/volumes/{place.volume_id}"
    shown = (await cloud.call(place, "GET", path, status=200)).json()["volume"]
    assert (shown["status"], shown["attachments"][0]["server_id"]) == ("in-use", place.server_id)
    await cloud.detach(place)
    assert (await snapshot(cloud, place))["volumes"] == [(place.volume_id, "available")]
    await cloud.attach(place)
    await _unshelve(cloud, place)
    assert _serials(cloud, place)[:2] == [place.server_id[:20], place.volume_id[:20]]
    # It is a volume like any other.
    await cloud.detach(place)
    await cloud.settled(place)
    assert place.volume_id[:20] not in _serials(cloud, place)
    await delete_with_image(cloud, place)


async def test_a_server_that_boots_from_a_volume_is_shelved_without_an_image(cloud: World) -> None:
    place = await cloud.place()
    root = {"source_type": "image", "destination_type": "volume", "uuid": IMAGE, "volume_size": 1, "boot_index": 0}
    root |= {"delete_on_termination": True}
    await cloud.active(place, imageRef="", block_device_mapping_v2=[root])
    await _shelve(cloud, place)
    found = await snapshot(cloud, place)
    assert (found["images"], found["attachments"]) == ([], [("", "attached", True)])
    assert found == off_host(found, cloud.hosts) | {"images": [], "image data": 0}
    await _unshelve(cloud, place)
    server = cloud.server(place)
    assert server is not None
    (disk, *_) = cloud.hosts[str(server.host)].driver.guest(place.server_id).disks
    assert (disk.device, disk.boot_index) == ("vda", 0)
    # Its volume ends with it, also from the shelf.
    await _shelve(cloud, place)
    await cloud.delete(place)
    await cloud.settled(place)
    await until(lambda: len(cloud.volumes_of(place.project_id)) == 1, 30, lambda: "the volume stayed")
    await nothing_left(cloud, place)


async def test_an_unshelve_without_its_image_leaves_the_server_shelved_and_says_why(cloud: World) -> None:
    place = await cloud.place()
    await cloud.active(place)
    await _shelve(cloud, place)
    server = cloud.server(place)
    assert server is not None
    await cloud.call(place, "DELETE", f"/image/v2/images/{server.shelved_image_id}", status=204)
    before = await snapshot(cloud, place)
    reply = await cloud.act(place, "unshelve")
    assert await _status(cloud, place) == "SHELVED_OFFLOADED"
    assert await snapshot(cloud, place) == before
    request_id = reply.headers["x-openstack-request-id"]
    path = f"/compute/v2.1/servers/{place.server_id}/os-instance-actions/{request_id}"
    action = (await cloud.call(await cloud.administrated(place), "GET", path, status=200)).json()["instanceAction"]
    assert (action["action"], action["message"]) == ("unshelve", "Error")
    await delete(cloud, place)
