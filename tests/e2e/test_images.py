"""Image data that is not what it is said to be never becomes an image."""

import subprocess
from pathlib import Path

import pytest

from infra.deploy import seeds
from tests.e2e.world import World, until


def _qcow2(file: Path, *options: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, file, "16M"], check=True)
    return file


def _backed(folder: Path) -> Path:
    return _qcow2(folder / "backed", "-b", "/etc/shadow", "-F", "raw", "-u")


def _data_file(folder: Path) -> Path:
    return _qcow2(folder / "split", "-o", f"data_file={folder / 'elsewhere'},data_file_raw=on")


def _text(folder: Path) -> Path:
    (folder / "text").write_text("not a disk\n" * 1000)
    return folder / "text"


def _truncated(folder: Path) -> Path:
    whole = _qcow2(folder / "whole").read_bytes()
    (folder / "part").write_bytes(whole[:40])
    return folder / "part"


@pytest.mark.parametrize("make", [_backed, _data_file, _text, _truncated])
def test_data_that_is_no_plain_qcow2_is_refused(world: World, tmp_path: Path, make) -> None:
    described = {"name": "false", "disk_format": "qcow2", "container_format": "bare"}
    image = world.demo.make("/image/v2/images", described)["id"]
    octets = {"Content-Type": "application/octet-stream"}
    reply = world.demo.put(f"/image/v2/images/{image}/file", content=make(tmp_path).read_bytes(), headers=octets)
    assert reply.status_code in (400, 415), reply.text
    assert "root:" not in reply.text
    assert world.demo.show(f"/image/v2/images/{image}")["status"] != "active"
    refused = world.demo.post("/compute/v2.1/servers", json={"server": world.request("refused", imageRef=image)})
    assert refused.status_code == 400
    assert world.demo.delete(f"/image/v2/images/{image}").status_code == 204


def test_an_image_said_to_be_raw_that_is_qcow2_is_refused(world: World, tmp_path: Path) -> None:
    """Else QEMU might be made to read any file of the host as a raw disk's backing file."""
    described = {"name": "false", "disk_format": "raw", "container_format": "bare"}
    image = world.demo.make("/image/v2/images", described)["id"]
    octets = {"Content-Type": "application/octet-stream"}
    reply = world.demo.put(f"/image/v2/images/{image}/file", content=_backed(tmp_path).read_bytes(), headers=octets)
    assert reply.status_code in (400, 415), reply.text
    assert world.demo.show(f"/image/v2/images/{image}")["status"] != "active"
    assert world.demo.delete(f"/image/v2/images/{image}").status_code == 204


def test_data_of_no_known_format_is_kept_and_does_not_boot(world: World) -> None:
    described = {"name": "unknown", "disk_format": "qcow2", "container_format": "bare"}
    image = world.demo.make("/image/v2/images", described)["id"]
    octets = {"Content-Type": "application/octet-stream"}
    reply = world.demo.put(f"/image/v2/images/{image}/file", content=b"\x80" * 65536, headers=octets)
    assert reply.status_code == 204, reply.text
    refused = world.demo.post("/compute/v2.1/servers", json={"server": world.request("refused", imageRef=image)})
    assert refused.status_code == 400
    volume = world.demo.make("/volume/v3/volumes", {"volume": {"size": 1, "imageRef": image}})["volume"]["id"]
    path = f"/volume/v3/volumes/{volume}"
    until(lambda: world.demo.show(path)["volume"]["status"] == "error", "the volume is of no use")
    assert world.demo.delete(path).status_code == 202
    until(lambda: world.demo.get(path).status_code == 404, "the volume is gone")
    assert world.demo.delete(f"/image/v2/images/{image}").status_code == 204


def test_the_disk_of_a_running_server_becomes_an_image_that_boots(world: World) -> None:
    origin = world.boot("origin", key_name=seeds.KEY)
    address = world.address(world.active(origin))
    world.ready(origin)
    world.ssh(address, "echo kept | sudo tee /kept >/dev/null && sync")
    made = world.client("server", "image", "create", "--name", "copy", "--wait", "origin")
    image = world.demo.show(f"/image/v2/images/{made['id']}")
    assert (image["status"], image["disk_format"], image["instance_uuid"]) == ("active", "qcow2", origin)
    assert image["kernel_id"], "it boots as its base does"
    world.settled(origin, "ACTIVE")
    assert world.ssh(address, "sudo cat /kept") == "kept\n"
    copy = world.boot("copy", imageRef=image["id"], key_name=seeds.KEY)
    copied = world.address(world.active(copy))
    assert world.ssh(copied, "sudo cat /kept; hostname") == "kept\ncopy\n"
    used = world.client("usage", "list", cloud="kilonova-admin")
    assert {origin, copy} <= {server["instance_id"] for project in used for server in project["Servers"]}
    world.delete(origin, copy)
    world.openstack("image", "delete", "copy")
