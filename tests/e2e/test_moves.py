"""A server becomes larger and goes back, and is made anew: what its guest holds stays, or goes, with its disk."""

from infra.deploy import seeds
from tests.e2e.world import World

_DISK_GB = "echo $(( $(cat /sys/block/vda/size) / 2097152 ))"
_WRITE = "echo kept | sudo tee /kept >/dev/null && sync"
_READ = "sudo cat /kept 2>/dev/null || echo gone"


def test_a_server_is_resized_taken_back_and_rebuilt(world: World) -> None:
    data = world.client("volume", "create", "--size", "1", "data")["id"]
    server = world.client(
        *("server", "create", "--image", seeds.IMAGE, "--flavor", "m1.tiny", "--network", seeds.NETWORK),
        *("--key-name", seeds.KEY, "--wait", "moving"),
    )
    server_id = server["id"]
    address = world.address(world.active(server_id))
    world.openstack("server", "add", "volume", "moving", data)
    world.ssh(address, _WRITE)

    world.openstack("server", "resize", "--flavor", "m1.small", "--wait", "moving")
    shown = world.settled(server_id, "VERIFY_RESIZE")
    assert (shown["flavor"]["original_name"], world.address(shown)) == ("m1.small", address)
    assert world.ssh(address, f"{_READ}; {_DISK_GB}; cat /sys/block/vd*/serial").split()[:2] == ["kept", "5"]
    (listed,) = world.client("server", "migration", "list", cloud="kilonova-admin")
    assert listed["Server UUID"] == server_id
    world.ssh(address, "echo changed | sudo tee /kept >/dev/null && sync")
    world.openstack("server", "resize", "revert", "moving")
    shown = world.active(server_id)
    assert (shown["flavor"]["original_name"], world.address(shown)) == ("m1.tiny", address)
    assert world.ssh(address, f"{_READ}; {_DISK_GB}; cat /sys/block/vd*/serial").split()[:2] == ["kept", "1"]

    world.openstack("server", "resize", "--flavor", "m1.small", "--wait", "moving")
    world.openstack("server", "resize", "confirm", "moving")
    assert world.active(server_id)["flavor"]["original_name"] == "m1.small"
    found = world.ssh(address, f"{_READ}; cat /sys/block/vd*/serial")
    assert "kept" in found
    assert data[:20] in found

    world.openstack("server", "rebuild", "--image", seeds.IMAGE, "--name", "anew", "--wait", "moving")
    shown = world.active(server_id)
    assert (shown["name"], world.address(shown)) == ("anew", address)
    found = world.ssh(address, f"{_READ}; cat /sys/block/vd*/serial")
    assert "gone" in found
    assert data[:20] in found

    world.openstack("server", "delete", "--wait", "anew")
    world.openstack("volume", "delete", "data")
