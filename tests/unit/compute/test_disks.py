"""Disk files: QEMU accepts them, they appear whole or not at all, and no image refers to another file."""

import json
import subprocess
from pathlib import Path

import pycdlib
import pytest

from infra.compute import disks, qcow2
from infra.compute.metadata import GuestMetadata, files
from infra.domain.errors import BuildAborted, HostRejected

MIB = 1024**2


def qemu_img(*arguments: object) -> str:
    return subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def info(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(qemu_img("info", "--output=json", path))
    return found


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "10M")
    subprocess.run(["qemu-io", "-c", "write -P 7 0 1M", path], check=True, capture_output=True)
    return path


@pytest.mark.parametrize("size", [0, 10 * MIB, 1024**3, 600 * 1024**3, 8 * 1024**4])
def test_an_overlay_is_what_qemu_would_make(tmp_path: Path, base: Path, size: int) -> None:
    path = tmp_path / "server" / "root.qcow2"
    disks.create_overlay(path, base, "qcow2", size)
    qemu_img("check", path)
    found = info(path)
    assert found["virtual-size"] == (size or 10 * MIB)
    assert found["backing-filename"] == str(base)
    assert found["backing-filename-format"] == "qcow2"
    assert path.stat().st_mode & 0o077 == 0
    subprocess.run(["qemu-io", "-c", "read -P 7 0 1M", "-c", "write -P 9 4M 2M", path], check=True, capture_output=True)
    qemu_img("check", path)
    assert [file.name for file in path.parent.iterdir()] == ["root.qcow2"]


def test_an_overlay_over_raw_data_ends_on_a_sector(tmp_path: Path) -> None:
    base = tmp_path / "base.raw"
    base.write_bytes(b"x" * 1000)
    disks.create_overlay(tmp_path / "o", base, "raw", 0)
    qemu_img("check", tmp_path / "o")
    assert info(tmp_path / "o")["virtual-size"] == 1024


def test_a_disk_in_use_is_not_made_again(tmp_path: Path, base: Path) -> None:
    path = tmp_path / "root.qcow2"
    disks.create_overlay(path, base, "qcow2", 0)
    subprocess.run(["qemu-io", "-c", "write -P 5 0 64k", path], check=True, capture_output=True)
    disks.create_overlay(path, base, "qcow2", 0)
    subprocess.run(["qemu-io", "-c", "read -P 5 0 64k", path], check=True, capture_output=True)


def test_a_blank_disk_is_empty(tmp_path: Path) -> None:
    disks.create_blank(tmp_path / "b", 64 * MIB)
    qemu_img("check", tmp_path / "b")
    found = info(tmp_path / "b")
    assert found["virtual-size"] == 64 * MIB
    assert "backing-filename" not in found


def test_an_image_larger_than_the_flavor_is_refused(tmp_path: Path, base: Path) -> None:
    with pytest.raises(BuildAborted, match="1 GiB"):
        disks.create_overlay(tmp_path / "o", base, "qcow2", 5 * MIB)
    assert not (tmp_path / "o").exists()


def test_an_image_that_refers_to_another_file_is_refused(tmp_path: Path, base: Path) -> None:
    backed, outside = tmp_path / "backed.qcow2", tmp_path / "outside.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", backed)
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path / 'data'}", outside, "1M")
    for image in (backed, outside):
        with pytest.raises(BuildAborted, match="another file"):
            disks.create_overlay(tmp_path / "o", image, "qcow2", 0)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("data", [b"", b"QFI\xfb", b"x" * 4096])
def test_what_is_not_qcow2_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "base").write_bytes(data)
    with pytest.raises(BuildAborted):
        qcow2.size_of(tmp_path / "base", "qcow2")
    with pytest.raises(BuildAborted):
        qcow2.size_of(tmp_path / "base", "vmdk")


def test_an_old_qcow2_is_read(tmp_path: Path) -> None:
    qemu_img("create", "-q", "-f", "qcow2", "-o", "compat=0.10", tmp_path / "old", "3M")
    assert qcow2.size_of(tmp_path / "old", "qcow2") == 3 * MIB


def test_a_folder_that_can_not_be_written_rejects_the_host(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostRejected):
        disks.create_blank(tmp_path / "file" / "disk", MIB)


def test_what_an_interrupted_write_left_is_replaced_and_removed(tmp_path: Path) -> None:
    path, part = tmp_path / "d", tmp_path / "d.part"
    part.write_text("half")
    disks.create_blank(path, MIB)
    qemu_img("check", path)
    part.write_text("half")
    disks.remove(path)
    disks.remove(path)
    assert list(tmp_path.iterdir()) == []


def test_a_config_drive_holds_the_metadata_of_every_version(tmp_path: Path) -> None:
    metadata = GuestMetadata(
        server_id="id-1", name="n", hostname="h", project_id="p", user_data=b"\x00\xffany bytes" * 1000
    )
    path = tmp_path / "config.iso"
    disks.write_config_drive(path, metadata)
    disks.write_config_drive(path, metadata)
    assert path.stat().st_mode & 0o077 == 0
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    assert iso.pvd.volume_identifier.decode().strip() == "config-2"
    for version in ("2015-10-15", "2018-08-27", "latest"):
        for name, data in files(metadata).items():
            for view in ("rr_path", "joliet_path"):
                with iso.open_file_from_iso(**{view: f"/openstack/{version}/{name}"}) as file:
                    assert file.read() == data
    iso.close()
