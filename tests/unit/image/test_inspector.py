import os
from pathlib import Path

import pytest

from infra.domain.errors import BadRequest
from infra.image.inspector import detect, inspect

GIB = 1024**3


def test_data_of_no_known_format_passes_only_where_formats_need_not_match(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(os.urandom(2000))
    with pytest.raises(BadRequest):
        inspect(path, "qcow2", max_virtual_bytes=GIB)
    assert inspect(path, "qcow2", max_virtual_bytes=GIB, match=False).virtual_size is None


@pytest.mark.parametrize("data", [b"this is no disk\n" * 100, "täxt".encode() * 3000, b"PK\x03\x04" + bytes(2000)])
def test_text_and_archives_are_no_disks_even_where_formats_need_not_match(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(data)
    with pytest.raises(BadRequest):
        inspect(path, "qcow2", max_virtual_bytes=GIB, match=False)


def test_a_known_format_must_match_in_any_case(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"QFI\xfb" + bytes(2000))
    for claimed in ("raw", "vmdk", "iso", "aki"):
        with pytest.raises(BadRequest):
            inspect(path, claimed, max_virtual_bytes=GIB, match=False)


def test_an_iso_is_known_by_its_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(32769) + b"CD001" + bytes(4000))
    assert inspect(path, "iso", max_virtual_bytes=GIB).virtual_size == path.stat().st_size
    assert inspect(path, "raw", max_virtual_bytes=GIB).virtual_size == path.stat().st_size
    path.write_bytes(bytes(40000))
    with pytest.raises(BadRequest):
        inspect(path, "iso", max_virtual_bytes=GIB)


@pytest.mark.parametrize("start", [b"# Disk DescriptorFile\n", b"\n#x\nversion=1\n", b"  \r\n# c\nversion=3"])
def test_texts_that_qemu_takes_for_vmdk_are_known(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(start)
    assert detect(path) == "vmdk"


def test_a_trailer_counts_too(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(4096) + b"conectix" + bytes(504))
    assert detect(path) == "vhd"


def test_a_large_raw_disk_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(2 * GIB)
    with pytest.raises(BadRequest):
        inspect(path, "raw", max_virtual_bytes=GIB)
