"""Uploads and downloads, and what hostile data meets."""

import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from api.image import data
from infra.db import images
from tests.api.image.harness import World, send_cut
from tests.api.image.test_images import create

OCTETS = {"Content-Type": "application/octet-stream"}


async def upload(world: World, image_id: str, content: bytes, token: str = "demo:member") -> httpx.Response:
    async with world.client(token) as client:
        return await client.put(f"/v2/images/{image_id}/file", content=_in_pieces(content), headers=OCTETS)


async def _in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 65536):
        yield content[start : start + 65536]


async def show(world: World, image_id: str) -> dict:
    async with world.client() as client:
        return (await client.get(f"/v2/images/{image_id}")).json()


def files(world: World) -> list[str]:
    """Every file that the store keeps."""
    folder = world.services.settings.state / "images"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def disk(folder: Path, disk_format: str, *arguments: str, size: str = "1M") -> bytes:
    path = folder / "disk"
    subprocess.run(["qemu-img", "create", "-q", "-f", disk_format, *arguments, path, size], check=True)
    return path.read_bytes()


def qcow2(folder: Path, *arguments: str, size: str = "1M") -> bytes:
    return disk(folder, "qcow2", *arguments, size=size)


def with_data(folder: Path) -> bytes:
    """A qcow2 whose last cluster holds data."""
    qcow2(folder)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write 0 64k", folder / "disk"], check=True, capture_output=True)
    return (folder / "disk").read_bytes()


async def test_what_was_uploaded_is_what_is_downloaded(world: World) -> None:
    content = os.urandom(300_000)
    image = await create(world)
    async with world.client() as client:
        answer = await client.get(f"/v2/images/{image['id']}/file")
        assert (answer.status_code, answer.content) == (204, b"")
    answer = await upload(world, image["id"], content)
    assert (answer.status_code, answer.content) == (204, b"")
    found = await show(world, image["id"])
    assert found["status"] == "active"
    assert found["size"] == found["virtual_size"] == 300_000
    assert found["checksum"] == hashlib.md5(content).hexdigest()
    assert (found["os_hash_algo"], found["os_hash_value"]) == ("sha512", hashlib.sha512(content).hexdigest())
    async with world.client("demo:reader") as client:
        answer = await client.get(f"/v2/images/{image['id']}/file")
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["content-md5"] == found["checksum"]
    assert answer.headers["content-length"] == "300000"
    assert files(world) == [f"data/{image['id']}"]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=100-", 100, 999), ("bytes=-10", 990, 999), ("bytes=990-5000", 990, 999)],
)
async def test_a_part_can_be_downloaded(world: World, asked: str, first: int, last: int) -> None:
    content = os.urandom(1000)
    image = await create(world)
    await upload(world, image["id"], content)
    async with world.client() as client:
        answer = await client.get(f"/v2/images/{image['id']}/file", headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == content[first : last + 1]
    assert answer.headers["content-range"] == f"bytes {first}-{last}/1000"
    assert answer.headers["content-length"] == str(last - first + 1)


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=-0", "bytes=5-4"])
async def test_a_part_that_is_not_there_is_416(world: World, asked: str) -> None:
    image = await create(world)
    await upload(world, image["id"], b"x" * 1000)
    async with world.client() as client:
        answer = await client.get(f"/v2/images/{image['id']}/file", headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */1000"


async def test_ranges_of_other_forms_are_ignored(world: World) -> None:
    image = await create(world)
    await upload(world, image["id"], b"x" * 1000)
    async with world.client() as client:
        for asked in ("bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=a-b"):
            answer = await client.get(f"/v2/images/{image['id']}/file", headers={"Range": asked})
            assert (answer.status_code, len(answer.content)) == (200, 1000)


async def assert_refused(world: World, image: dict, content: bytes, status: int, *words: str) -> None:
    answer = await upload(world, image["id"], content)
    assert answer.status_code == status, answer.text
    message = answer.json()["error"]["message"]
    assert all(word in message for word in words), message
    found = await show(world, image["id"])
    assert (found["status"], found["size"], found["checksum"]) == ("queued", None, None)
    assert files(world) == []


async def test_a_good_qcow2_is_taken_and_measured(world: World, tmp_path: Path) -> None:
    image = await create(world, disk_format="qcow2")
    content = qcow2(tmp_path, size="5G")
    assert (await upload(world, image["id"], content)).status_code == 204
    found = await show(world, image["id"])
    assert (found["size"], found["virtual_size"]) == (len(content), 5 * 1024**3)


async def test_a_qcow2_that_says_it_is_raw_is_refused(world: World, tmp_path: Path) -> None:
    await assert_refused(world, await create(world), qcow2(tmp_path), 400, "raw", "qcow2")


async def test_raw_data_that_says_it_is_qcow2_is_refused(world: World) -> None:
    image = await create(world, disk_format="qcow2")
    await assert_refused(world, image, os.urandom(2000), 400, "qcow2")


async def test_a_kernel_that_is_a_disk_is_refused(world: World, tmp_path: Path) -> None:
    image = await create(world, disk_format="aki", container_format="aki")
    await assert_refused(world, image, qcow2(tmp_path), 400, "aki", "qcow2")


async def test_a_backing_file_is_refused(world: World, tmp_path: Path) -> None:
    image = await create(world, disk_format="qcow2")
    for backing in ("/etc/passwd", "json:{}", "nbd://127.0.0.1:1/x"):
        content = qcow2(tmp_path, "-u", "-b", backing, "-F", "raw")
        await assert_refused(world, image, content, 400, "backing file")


async def test_an_external_data_file_is_refused(world: World, tmp_path: Path) -> None:
    image = await create(world, disk_format="qcow2")
    content = qcow2(tmp_path, "-o", f"data_file={tmp_path / 'secret'},data_file_raw=on")
    await assert_refused(world, image, content, 400, "data file")


async def test_an_encrypted_qcow2_is_refused(world: World, tmp_path: Path) -> None:
    image = await create(world, disk_format="qcow2")
    secret = ["--object", "secret,id=s,data=abc", "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"]
    await assert_refused(world, image, _measured(lambda: qcow2(tmp_path, *secret)), 400, "ncrypted")


def _measured(make: Callable[[], bytes]) -> bytes:
    """``qemu-img`` times its key derivation, and gives up where a busy machine gave it no time."""
    for _ in range(9):
        with contextlib.suppress(subprocess.CalledProcessError):
            return make()
    return make()


async def test_a_qcow2_of_unknown_features_is_refused(world: World, tmp_path: Path) -> None:
    content = bytearray(qcow2(tmp_path))
    content[72] |= 0x80
    await assert_refused(world, await create(world, disk_format="qcow2"), bytes(content), 400, "features")


@pytest.mark.parametrize("kept", [3, 50, 1000, 70_000, 250_000, 393_215])
async def test_a_truncated_qcow2_is_refused(world: World, tmp_path: Path, kept: int) -> None:
    content = with_data(tmp_path)
    assert len(content) == 393_216
    image = await create(world, disk_format="qcow2")
    await assert_refused(world, image, content[:kept], 400)


async def test_a_disk_of_absurd_size_is_refused(world: World, tmp_path: Path) -> None:
    image = await create(world, disk_format="qcow2")
    content = qcow2(tmp_path, size="3T")
    await assert_refused(world, image, content, 400, "bytes")


@pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"])
async def test_vmdk_descriptors_of_other_files_are_refused(world: World, tmp_path: Path, subformat: str) -> None:
    content = disk(tmp_path, "vmdk", "-o", f"subformat={subformat}")
    image = await create(world, disk_format="vmdk")
    await assert_refused(world, image, content, 400, "VMDK")
    await assert_refused(world, await create(world), b"\n# x\n\n" + content, 400, "vmdk")


async def test_a_vmdk_whose_extent_is_another_file_is_refused(world: World, tmp_path: Path) -> None:
    content = disk(tmp_path, "vmdk")
    assert (await upload(world, (await create(world, disk_format="vmdk"))["id"], content)).status_code == 204
    hostile = content.replace(b'SPARSE "disk"', b'FLAT "/etc/passwd"')
    assert hostile != content
    image = await create(world, disk_format="vmdk")
    answer = await upload(world, image["id"], hostile)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("disk_format", "made"), [("vhd", "vpc"), ("vhdx", "vhdx"), ("vdi", "vdi"), ("ploop", "parallels")]
)
async def test_other_formats_are_known_by_their_data(world: World, tmp_path: Path, disk_format: str, made: str) -> None:
    content = disk(tmp_path, made)[:3_900_000]
    refused = await upload(world, (await create(world))["id"], content)
    if disk_format != "vhdx":
        assert (await upload(world, (await create(world, disk_format=disk_format))["id"], content)).status_code == 204
    assert refused.status_code == 400
    assert disk_format in refused.json()["error"]["message"]


async def test_no_data_is_no_image(world: World) -> None:
    await assert_refused(world, await create(world), b"", 400, "no data")


async def test_an_image_that_describes_volumes_has_no_data(world: World) -> None:
    image = await create(world, disk_format="qcow2", container_format="bare", block_device_mapping="[]")
    async with world.client() as client:
        for status in (204, 409):
            assert (
                await client.put(f"/v2/images/{image['id']}/file", content=b"", headers=OCTETS)
            ).status_code == status
        shown = await show(world, image["id"])
        assert (shown["status"], shown["size"], shown["virtual_size"]) == ("active", 0, None)
        assert shown["checksum"] == hashlib.md5(usedforsecurity=False).hexdigest()
        answer = await client.get(f"/v2/images/{image['id']}/file")
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await client.delete(f"/v2/images/{image['id']}")).status_code == 204
    assert files(world) == []


async def test_data_over_the_largest_size_is_refused(world: World) -> None:
    await assert_refused(world, await create(world), b"x" * 4_000_001, 413)


async def test_data_over_the_projects_quota_is_refused(world: World) -> None:
    first = await create(world)
    assert (await upload(world, first["id"], b"x" * 4_000_000)).status_code == 204
    second = await create(world)
    assert (await upload(world, second["id"], b"x" * 2_000_001)).status_code == 413
    assert (await show(world, second["id"]))["status"] == "queued"
    assert files(world) == [f"data/{first['id']}"]
    async with world.client() as client:
        announced = await client.put(f"/v2/images/{second['id']}/file", content=b"x" * 2_000_001, headers=OCTETS)
        assert announced.status_code == 413
        await client.delete(f"/v2/images/{first['id']}")
    assert (await upload(world, second["id"], b"x" * 2_000_001)).status_code == 204


async def test_a_cut_upload_leaves_nothing_and_can_be_tried_again(world: World) -> None:
    image = await create(world)
    await send_cut(world.app, f"/image/v2/images/{image['id']}/file", "demo:member", b"x" * 100_000)
    assert (await show(world, image["id"]))["status"] == "queued"
    assert files(world) == []
    assert (await upload(world, image["id"], b"whole")).status_code == 204


async def test_an_image_has_one_upload(world: World) -> None:
    image = await create(world)
    await upload(world, image["id"], b"one")
    assert (await upload(world, image["id"], b"two")).status_code == 409
    async with world.client() as client:
        assert (await client.get(f"/v2/images/{image['id']}/file")).content == b"one"


async def test_an_image_deleted_during_its_upload_leaves_no_data(world: World) -> None:
    image = await create(world)

    async def deleted_meanwhile() -> AsyncIterator[bytes]:
        yield b"x"
        async with world.client() as client:
            assert (await client.get(f"/v2/images/{image['id']}")).json()["status"] == "saving"
            assert (await client.delete(f"/v2/images/{image['id']}")).status_code == 204
        yield b"y"

    async with world.client() as client:
        answer = await client.put(f"/v2/images/{image['id']}/file", content=deleted_meanwhile(), headers=OCTETS)
    assert answer.status_code == 404
    assert files(world) == []


async def test_a_start_gives_back_what_died_uploads_held(world: World) -> None:
    image, db = await create(world), world.services.db
    db.write_now(images.begin_upload, image["id"], "req-died", abandoned=False)
    (world.services.settings.state / "images" / "data" / "bbbbbbbb-1111-2222-3333-444455556666").write_bytes(b"x")
    await data.recover(world.services)
    assert (await show(world, image["id"]))["status"] == "queued"
    assert files(world) == []


async def test_data_needs_formats_and_the_right_type(world: World) -> None:
    image = await create(world, disk_format=None)
    assert (await upload(world, image["id"], b"x")).status_code == 400
    ova = await create(world, disk_format="vmdk", container_format="ova")
    assert (await upload(world, ova["id"], b"x")).status_code == 400
    image = await create(world)
    async with world.client() as client:
        answer = await client.put(f"/v2/images/{image['id']}/file", content=json.dumps({}))
    assert answer.status_code == 415


async def test_formats_are_fixed_once_there_is_data(world: World) -> None:
    image = await create(world)
    await upload(world, image["id"], b"x")
    async with world.client() as client:
        answer = await client.patch(
            f"/v2/images/{image['id']}",
            content=json.dumps([{"op": "replace", "path": "/disk_format", "value": "qcow2"}]),
            headers={"Content-Type": "application/openstack-images-v2.1-json-patch"},
        )
    assert answer.status_code == 403


async def test_a_deactivated_image_gives_no_data(world: World) -> None:
    image = await create(world)
    path = f"/v2/images/{image['id']}"
    async with world.client() as client:
        assert (await client.post(path + "/actions/deactivate")).status_code == 403
    await upload(world, image["id"], b"x")
    async with world.client() as client:
        for _ in range(2):
            answer = await client.post(path + "/actions/deactivate")
            assert (answer.status_code, answer.content) == (204, b"")
        assert (await client.get(path)).json()["status"] == "deactivated"
        assert (await client.get(path + "/file")).status_code == 403
        assert (await client.post(path + "/actions/reactivate")).status_code == 204
        assert (await client.get(path + "/file")).content == b"x"
        assert (await client.post(path + "/actions/explode")).status_code == 404


async def test_a_worker_reads_with_an_expired_token_of_the_users(world: World) -> None:
    image = await create(world)
    await upload(world, image["id"], b"x")
    path = f"/v2/images/{image['id']}/file"
    async with world.client("expired:demo:member") as client:
        assert (await client.get(path)).status_code == 401
    async with world.client("expired:demo:member", **{"X-Service-Token": "admin:service"}) as client:
        assert (await client.get(path)).content == b"x"
