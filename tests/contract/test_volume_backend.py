"""What every volume backend does, QCOW2 files or memory."""

import json
import os
import subprocess
import threading
import uuid
from pathlib import Path

import pytest

from infra.domain.errors import BadRequest, Fenced, NotFound, Unavailable
from infra.volume.backend import VolumeBackend
from infra.volume.fake import FakeBackend
from infra.volume.qcow2 import Qcow2Backend

GIB = 1024**3


@pytest.fixture(params=["qcow2", "fake"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> VolumeBackend:
    return FakeBackend() if request.param == "fake" else Qcow2Backend(tmp_path / "volumes")


@pytest.fixture
def files(tmp_path: Path) -> Qcow2Backend:
    return Qcow2Backend(tmp_path / "volumes")


@pytest.fixture
def volume_id() -> str:
    return str(uuid.uuid4())


def info(backend: Qcow2Backend, volume_id: str) -> dict:
    path = backend.connection(volume_id).path
    found = subprocess.run(["qemu-img", "info", "-f", "qcow2", "--output=json", path], capture_output=True, check=True)
    return json.loads(found.stdout)


def test_making_and_deleting_can_be_repeated(backend: VolumeBackend, volume_id: str) -> None:
    for _ in range(2):
        backend.create(volume_id, 1)
    assert backend.volumes() == [volume_id]
    assert backend.connection(volume_id).format == "qcow2"
    for _ in range(2):
        backend.delete(volume_id)
    assert backend.volumes() == []


def test_a_creation_after_the_deletion_is_refused(backend: VolumeBackend, volume_id: str) -> None:
    backend.delete(volume_id)
    with pytest.raises(Fenced):
        backend.create(volume_id, 1)
    assert backend.volumes() == []


def test_a_deletion_is_known_for_as_long_as_a_creation_may_come(backend: VolumeBackend, volume_id: str) -> None:
    backend.delete(volume_id)
    backend.forget(3600)
    with pytest.raises(Fenced):
        backend.create(volume_id, 1)
    backend.forget(0)
    backend.create(volume_id, 1)
    backend.forget(0)
    assert backend.volumes() == [volume_id]


def test_what_a_host_wrote_is_taken_in_once(files: Qcow2Backend, volume_id: str) -> None:
    files.create(volume_id, 1)
    made, dead = str(uuid.uuid4()), str(uuid.uuid4())
    for snapshot_id in (made, dead):
        subprocess.run(["cp", files.connection(volume_id).path, f"{files.incoming(snapshot_id)}.1"], check=True)
    for _ in range(2):
        files.take_in(made, Path(f"{files.incoming(made)}.1"))
    assert files.volumes() == sorted([volume_id, made])
    with pytest.raises(Unavailable):
        files.take_in(dead, Path(f"{files.incoming(dead)}.2"))
    files.delete(dead)
    with pytest.raises(Fenced):
        files.take_in(dead, Path(f"{files.incoming(dead)}.1"))
    # Whoever wrote it has not removed it for a day.
    left = Path(f"{files.incoming(dead)}.1")
    files.forget(0)
    assert left.exists()
    os.utime(left, (0, 0))
    files.forget(0)
    assert not left.exists()


def test_what_is_forgotten_leaves_no_file(files: Qcow2Backend, volume_id: str, tmp_path: Path) -> None:
    files.create(volume_id, 1)
    files.delete(volume_id)
    files.forget(0)
    assert [path for path in (tmp_path / "volumes").rglob("*") if path.is_file()] == []


def test_a_source_must_fit_and_be_of_a_known_format(backend: VolumeBackend, volume_id: str, tmp_path: Path) -> None:
    source = tmp_path / "source.raw"
    with source.open("wb") as file:
        file.truncate(GIB + 512)
    for size, source_format in ((1, "raw"), (2, "vmdk"), (2, None)):
        with pytest.raises(BadRequest):
            backend.create(volume_id, size, source, source_format)
        assert backend.volumes() == []
    backend.create(volume_id, 2, source, "raw")
    assert backend.volumes() == [volume_id]


def test_extending_never_shrinks(backend: VolumeBackend, volume_id: str) -> None:
    backend.create(volume_id, 1)
    for size in (3, 3, 2):
        backend.extend(volume_id, size)
    with pytest.raises(NotFound):
        backend.extend(str(uuid.uuid4()), 2)


def test_export_needs_data_and_a_known_format(backend: VolumeBackend, volume_id: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        backend.export(volume_id, tmp_path / "out", "raw")
    backend.create(volume_id, 1)
    with pytest.raises(BadRequest):
        backend.export(volume_id, tmp_path / "out", "vmdk")
    backend.export(volume_id, tmp_path / "out", "qcow2")
    assert (tmp_path / "out").exists()


def test_a_blank_volume_takes_little_room(files: Qcow2Backend, volume_id: str) -> None:
    files.create(volume_id, 10)
    found = info(files, volume_id)
    assert (found["virtual-size"], found["format"]) == (10 * GIB, "qcow2")
    assert found["actual-size"] < 1_000_000
    files.extend(volume_id, 12)
    assert info(files, volume_id)["virtual-size"] == 12 * GIB


def test_a_copy_stands_alone(files: Qcow2Backend, volume_id: str, tmp_path: Path) -> None:
    source = tmp_path / "source.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", source, "64M"], check=True)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 0x41 0 4k", source], check=True, capture_output=True)
    files.create(volume_id, 1, source, "qcow2")
    source.unlink()
    found = info(files, volume_id)
    assert found["virtual-size"] == GIB
    assert "backing-filename" not in found
    files.export(volume_id, tmp_path / "out.raw", "raw")
    with (tmp_path / "out.raw").open("rb") as file:
        assert file.read(4096) == b"A" * 4096


def test_raw_data_that_is_a_qcow2_is_copied_as_bytes(files: Qcow2Backend, volume_id: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret" * 1000)
    hostile = tmp_path / "hostile"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", secret, "-F", "raw", hostile, "1M"], check=True
    )
    files.create(volume_id, 1, hostile, "raw")
    files.export(volume_id, tmp_path / "out.raw", "raw")
    with (tmp_path / "out.raw").open("rb") as file:
        head = file.read(70_000)
    assert head.startswith(b"QFI\xfb")
    assert b"secretsecret" not in head


def test_a_stopped_copy_leaves_nothing(files: Qcow2Backend, volume_id: str, tmp_path: Path) -> None:
    source = tmp_path / "source.raw"
    with source.open("wb") as file:
        for _ in range(64):
            file.write(b"x" * 1024 * 1024)

    def stop() -> None:
        raise KeyboardInterrupt

    # Held by another, so that the copy has to wait and its heartbeat is called.
    with pytest.raises(KeyboardInterrupt), files._locked(volume_id):
        files.create(volume_id, 1, source, "raw", stop)
    assert files.volumes() == []
    assert list(files._directory.glob("*.partial")) == []
    files.create(volume_id, 1, source, "raw")
    assert files.volumes() == [volume_id]


def test_what_a_killed_copy_left_is_replaced(files: Qcow2Backend, volume_id: str) -> None:
    files.connection(volume_id).path.with_suffix(".partial").write_bytes(b"half")
    files.create(volume_id, 1)
    assert info(files, volume_id)["virtual-size"] == GIB
    assert list(files._directory.glob("*.partial")) == []


def test_two_at_once_make_one_volume(files: Qcow2Backend, volume_id: str) -> None:
    errors: list[BaseException] = []

    def create() -> None:
        try:
            files.create(volume_id, 1)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert files.volumes() == [volume_id]


def test_a_broken_source_can_be_tried_again(files: Qcow2Backend, volume_id: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        files.create(volume_id, 1, tmp_path / "missing", "raw")
    assert files.volumes() == []


def test_ids_do_not_lead_out_of_the_directory(files: Qcow2Backend) -> None:
    for volume_id in ("../x", "", "a/b", "--help"):
        for call in (lambda v=volume_id: files.create(v, 1), lambda v=volume_id: files.delete(v)):
            with pytest.raises(NotFound):
                call()
