"""A server's life after its boot: volumes come and go, power goes off and on, and the guest sees it."""

import json

from infra.deploy import seeds
from tests.e2e.world import World, until

_SERIALS = "cat /sys/block/vd*/serial"


def _state(world: World, name: str) -> str:
    return str(world.client("server", "show", name)["status"])


def _volume_is(world: World, volume_id: str, status: str) -> None:
    def asked() -> bool:
        now = world.demo.show(f"/volume/v3/volumes/{volume_id}")["volume"]["status"]
        assert not now.startswith("error"), now
        return bool(now == status)

    until(asked, f"volume {volume_id} is {status}")


def _an_interface_comes_and_goes(world: World, server_id: str, address: str) -> None:
    path, count = f"/compute/v2.1/servers/{server_id}/os-interface", "ls -d /sys/class/net/eth* | wc -l"
    made = world.demo.make(path, {"interfaceAttachment": {"net_id": world.network_id}})["interfaceAttachment"]
    until(lambda: world.ssh(address, count) == "2\n", "the guest sees the interface")
    assert made["mac_addr"] in world.ssh(address, "cat /sys/class/net/eth*/address")
    until(
        lambda: world.demo.show(f"{path}/{made['port_id']}")["interfaceAttachment"]["port_state"] == "ACTIVE", "it is"
    )
    assert world.demo.delete(f"{path}/{made['port_id']}").status_code == 202
    until(lambda: world.ssh(address, count) == "1\n", "the guest sees the interface no more")
    until(lambda: world.demo.get(f"/network/v2.0/ports/{made['port_id']}").status_code == 404, "the port is gone")


def _its_image_boots(world: World, server_id: str) -> None:
    """Made while the guest runs, from what it has on its disk."""
    copied = {"createImage": {"name": "of-volumes"}}
    image_id = world.demo.make(f"/compute/v2.1/servers/{server_id}/action", copied)["image_id"]
    world.settled(server_id, "ACTIVE")
    image = world.demo.show(f"/image/v2/images/{image_id}")
    assert (image["status"], image["size"]) == ("active", 0)
    (device,) = json.loads(image["block_device_mapping"])
    second = world.client(
        *("server", "create", "--image", image_id, "--flavor", "m1.tiny", "--network", seeds.NETWORK),
        *("--key-name", seeds.KEY, "--wait", "of-an-image"),
    )
    shown = world.active(second["id"])
    assert world.ssh(world.address(shown), "sudo cat /kept") == "kept\n"
    world.openstack("server", "delete", "--wait", "of-an-image")
    snapshot = f"/volume/v3/snapshots/{device['snapshot_id']}"
    (volume,) = [one["id"] for one in shown["os-extended-volumes:volumes_attached"]]
    for path in (f"/volume/v3/volumes/{volume}", snapshot, f"/image/v2/images/{image_id}"):
        assert world.demo.delete(path).is_success
        until(lambda path=path: world.demo.get(path).status_code == 404, f"{path} is gone")


def test_a_server_on_a_volume_lives_through_everything(world: World) -> None:
    root = world.client("volume", "create", "--size", "1", "--image", seeds.IMAGE, "--bootable", "root")["id"]
    data = world.client("volume", "create", "--size", "1", "data")["id"]
    _volume_is(world, root, "available")
    _volume_is(world, data, "available")
    server = world.client(
        *("server", "create", "--volume", root, "--flavor", "m1.tiny", "--network", seeds.NETWORK),
        *("--key-name", seeds.KEY, "--wait", "on-a-volume"),
    )
    address = world.address(world.active(server["id"]))
    assert "metadata=metadata-service" in world.ready(server["id"]), "it has no config drive"

    world.ssh(address, "echo kept | sudo tee /kept >/dev/null && sync")
    _an_interface_comes_and_goes(world, server["id"], address)
    _its_image_boots(world, server["id"])
    world.openstack("server", "add", "volume", "on-a-volume", data)
    _volume_is(world, data, "in-use")
    until(lambda: data[:20] in world.ssh(address, _SERIALS), "the guest sees the volume")
    world.openstack("server", "remove", "volume", "on-a-volume", data)
    _volume_is(world, data, "available")
    until(lambda: data[:20] not in world.ssh(address, _SERIALS), "the guest sees the volume no more")

    for verb, during, back in (("pause", "PAUSED", "unpause"), ("suspend", "SUSPENDED", "resume")):
        world.openstack("server", verb, "on-a-volume")
        world.settled(server["id"], during)
        world.openstack("server", back, "on-a-volume")
        world.settled(server["id"], "ACTIVE")
        assert world.ssh(address, "sudo cat /kept") == "kept\n"

    world.openstack("server", "stop", "on-a-volume")
    world.settled(server["id"], "SHUTOFF")
    world.openstack("server", "start", "on-a-volume")
    world.settled(server["id"], "ACTIVE")
    first = world.ssh(address, "cat /proc/sys/kernel/random/boot_id; sudo cat /kept")
    assert first.endswith("kept\n")
    world.openstack("server", "reboot", "--hard", "--wait", "on-a-volume")
    second = until(
        lambda: (now := world.ssh(address, "cat /proc/sys/kernel/random/boot_id; sudo cat /kept")) != first and now,
        "the guest has booted again",
    )
    assert second.endswith("kept\n")
    assert _state(world, "on-a-volume") == "ACTIVE"

    world.openstack("server", "delete", "--wait", "on-a-volume")
    _volume_is(world, root, "available")
    world.openstack("volume", "delete", "root", "data")
    for volume_id in (root, data):
        until(
            lambda volume_id=volume_id: world.demo.get(f"/volume/v3/volumes/{volume_id}").status_code == 404,
            "the volume is gone",
        )
