"""Parts of the guest's build that need no packages, and the scripts that run in it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.deploy import libvirtd
from infra.deploy.guest import BuildError, build, cpio
from infra.deploy.guest.ramdisk import FILES


@pytest.mark.skipif(shutil.which("cpio") is None, reason="needs cpio")
def test_an_archive_is_unpacked_by_cpio(tmp_path: Path) -> None:
    entries = [
        cpio.directory("d"),
        cpio.file("d/f", b"odd", 0o4755),
        cpio.file("d/empty", b""),
        cpio.link("d/l", "f"),
        cpio.character_device("d/c", 5, 1),
    ]
    listed = subprocess.run(
        ["cpio", "-itv", "--quiet"], input=cpio.archive(entries), check=True, capture_output=True
    ).stdout.decode()
    lines = [line.split() for line in listed.splitlines()]
    assert [line[0] for line in lines] == ["drwxr-xr-x", "-rwsr-xr-x", "-rw-r--r--", "lrwxrwxrwx", "crw-------"]
    assert {line[2] for line in lines} == {"root"}
    subprocess.run(["cpio", "-id", "--quiet", "d/f", "d/l"], input=cpio.archive(entries), check=True, cwd=tmp_path)
    assert (tmp_path / "d" / "l").read_bytes() == b"odd"


def test_a_missing_program_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"apt-get install .*grub-common"):
        build(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("script", sorted(path for path in FILES.rglob("*") if path.is_file()), ids=lambda p: p.name)
def test_shell_scripts_parse(script: Path) -> None:
    if script.read_bytes().startswith(b"#!"):
        subprocess.run(["sh", "-n", script], check=True)


def test_json_is_read_one_value_a_line() -> None:
    data = {"uuid": "1-2", "public_keys": {"a/\t\nb": "ssh-rsa A\n"}, "list": [1, {"x": None}, [], {}], "t": 'q"\\Aé'}
    read = subprocess.run(
        ["awk", "-f", FILES / "usr/lib/guest/json.awk"],
        input=json.dumps(data).encode(),
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert read.splitlines() == [
        "uuid\t1-2",
        "public_keys/a/  b\tssh-rsa A ",
        "list/0\t1",
        "list/1/x\tnull",
        't\tq"\\A ',
    ]


def test_a_libvirtd_is_prepared_once_and_keeps_its_identity(tmp_path: Path) -> None:
    libvirtd.prepare(tmp_path)
    identity = (tmp_path / "host_uuid").read_text()
    libvirtd.prepare(tmp_path)
    assert (tmp_path / "host_uuid").read_text() == identity
    assert f'host_uuid = "{identity}"' in (tmp_path / "etc" / "libvirtd.conf").read_text()
    assert libvirtd.uri(tmp_path).endswith(str(libvirtd.socket(tmp_path)))


@pytest.mark.parametrize("name", ["x" * 100, 'a"b', "a?b", "a\nb"])
def test_a_path_that_libvirt_can_not_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="choose a"):
        libvirtd.prepare(Path("/nowhere") / name)
