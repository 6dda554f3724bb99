"""A server is rescued and shelved: its disk is beside the rescue's, and on the host that it comes back to."""

from infra.deploy import seeds
from tests.e2e.world import World, until

_SERIALS = "for serial in /sys/block/vd*/serial; do cat $serial; echo; done"
_READ_SECOND = "sudo mount -o ro /dev/vdb /mnt && sudo cat /mnt/kept; sudo umount /mnt"


def test_a_server_is_rescued_then_shelved_and_has_its_data(world: World) -> None:
    data = world.client("volume", "create", "--size", "1", "data")["id"]
    server_id = world.boot("kept", key_name=seeds.KEY)
    address = world.address(world.active(server_id))
    world.ready(server_id)
    world.ssh(address, "echo kept | sudo tee /kept >/dev/null && sync")

    world.openstack("server", "rescue", "kept")
    world.settled(server_id, "RESCUE")
    found = world.ssh(address, f"test -e /kept || echo none; {_SERIALS}; {_READ_SECOND}")
    assert found.split() == ["none", "rescue", server_id[:20], "kept"]
    world.openstack("server", "unrescue", "kept")
    assert world.address(world.active(server_id)) == address
    assert world.ssh(address, f"sudo cat /kept; {_SERIALS}").split() == ["kept", server_id[:20]]

    world.openstack("server", "shelve", "kept")
    shown = world.settled(server_id, "SHELVED_OFFLOADED")
    assert (world.address(shown), shown["hostId"]) == (address, "")
    (image,) = world.demo.show("/image/v2/images", name="kept-shelved")["images"]
    assert (image["status"], image["instance_uuid"]) == ("active", server_id)
    world.openstack("server", "add", "volume", "kept", data)
    assert world.demo.show(f"/volume/v3/volumes/{data}")["volume"]["status"] == "in-use"
    world.openstack("server", "unshelve", "kept")
    assert world.address(world.active(server_id)) == address
    assert world.ssh(address, f"sudo cat /kept; {_SERIALS}").split() == ["kept", server_id[:20], data[:20]]
    until(lambda: not world.demo.show("/image/v2/images", name="kept-shelved")["images"], "the image is gone")

    world.openstack("server", "delete", "--wait", "kept")
    world.openstack("volume", "delete", "data")
