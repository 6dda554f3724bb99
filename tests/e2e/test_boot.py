"""A machine from the request to its shell, by the unmodified client."""

from infra.deploy import seeds
from tests.e2e.world import World, until

_USER_DATA = """#!/bin/sh
echo "user data ran as $(id -un)" > /run/told
echo "user data spoke"
"""


def test_a_guest_gets_everything_that_was_asked_for_and_leaves_nothing(world: World, tmp_path) -> None:
    user_data = tmp_path / "user-data"
    user_data.write_text(_USER_DATA)
    volume = world.client("volume", "create", "--size", "1", "data")
    until(lambda: world.demo.show(f"/volume/v3/volumes/{volume['id']}")["volume"]["status"] == "available", "volume")
    server = world.client(
        *("server", "create", "--image", f"{seeds.IMAGE}-ami", "--flavor", "m1.tiny", "--network", seeds.NETWORK),
        *("--key-name", seeds.KEY, "--user-data", str(user_data), "--config-drive", "true"),
        *("--block-device", f"uuid={volume['id']},source_type=volume,destination_type=volume"),
        *("--property", "role=witness", "--wait", "the-guest"),
    )
    assert server["status"] == "ACTIVE"
    address = world.address(world.active(server["id"]))
    line = world.ready(server["id"])
    assert f"address={address}" in line, "the guest has its fixed address by DHCP"
    assert "metadata=config-drive" in line
    told = world.ssh(address, _QUESTIONS)
    answers = dict(part.split("=", 1) for part in told.splitlines() if "=" in part)
    assert answers["hostname"] == "the-guest"
    assert answers["user-data"] == "user data ran as root"
    assert volume["id"][:20] in answers["serials"]
    assert int(answers["root-kb"]) > 900_000, "the root file system fills the flavor's disk"
    assert server["id"] in answers["drive"]
    assert "witness" in answers["drive"]
    assert server["id"] in answers["http"]
    assert "user data spoke" in world.openstack("console", "log", "show", "the-guest")
    world.openstack("server", "delete", "--wait", "the-guest")
    assert world.demo.show(f"/volume/v3/volumes/{volume['id']}")["volume"]["status"] == "available"
    world.openstack("volume", "delete", "data")
    until(lambda: world.demo.get(f"/volume/v3/volumes/{volume['id']}").status_code == 404, "the volume is gone")


_QUESTIONS = """
echo hostname=$(hostname)
echo user-data=$(sudo cat /run/told)
echo serials=$(cat /sys/block/vd*/serial)
echo root-kb=$(df -k / | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2)
sudo mount -t iso9660 -o ro $(sudo findfs LABEL=config-2) /mnt
echo drive=$(cat /mnt/openstack/latest/meta_data.json)
echo http=$(wget -q -O - http://169.254.169.254/openstack/latest/meta_data.json)
"""
