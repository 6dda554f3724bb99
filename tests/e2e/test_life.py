"""A server's life after its boot: volumes come and go, power goes off and on, and the guest sees it."""

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
