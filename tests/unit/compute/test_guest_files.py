import json
import os
import stat
import subprocess
import uuid
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from infra.compute.guests import GuestFiles
from infra.compute.instance import BootSource, InstanceSpec, NicPlace, VolumePlace
from infra.domain.errors import BuildAborted
from infra.domain.network import Nic, NicAddress

SERVER = str(uuid.UUID(int=7))
VOLUME = str(uuid.UUID(int=8))


@pytest.fixture
def base(tmp_path: Path) -> BootSource:
    path = tmp_path / "base"
    with path.open("wb") as file:
        file.truncate(2**20)
    return BootSource(path=path, format="raw")


def _spec(attempt: int = 1, **changes: object) -> InstanceSpec:
    values: dict[str, object] = {
        "server_id": SERVER,
        "attempt": attempt,
        "name": "web <&> 1",
        "hostname": "web-1",
        "project_id": "p",
        "user_id": "u",
        "flavor_name": "m1.tiny",
        "vcpus": 1,
        "memory_mb": 128,
        "disk_gb": 1,
        "image_id": "image",
        "config_drive": True,
        "key_name": "key",
        "public_key": "ssh-ed25519 AAAA",
    }
    return InstanceSpec.model_validate({**values, **changes})


def _nic() -> NicPlace:
    address = NicAddress(ip_address="10.0.0.5", cidr="10.0.0.0/24", gateway_ip="10.0.0.1")
    nic = Nic(
        port_id=str(uuid.UUID(int=9)),
        network_id=str(uuid.UUID(int=10)),
        vni=7,
        mtu=1400,
        mac_address="fa:16:3e:00:00:01",
        addresses=(address,),
    )
    return NicPlace(bridge="knb1", tap="knt1", nic=nic)


def test_an_image_boots_from_an_overlay_of_the_flavors_size(tmp_path: Path, base: BootSource) -> None:
    files = GuestFiles(tmp_path / "instances")
    guest, _ = files.build(_spec(), {"image": base}, [_nic()], [], None)
    root = guest.disks[0]
    info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", root.path]))
    assert (info["virtual-size"], info["full-backing-filename"]) == (2**30, str(base.path))
    assert (root.device, root.boot_index, root.format) == ("vda", 0, "qcow2")
    assert guest.interfaces[0].mtu == 1400
    assert guest.disks[-1].read_only
    assert guest.disks[-1].device == "vdz"


def test_volumes_keep_the_device_they_asked_for_and_the_others_take_what_is_free(
    tmp_path: Path, base: BootSource
) -> None:
    places = [
        VolumePlace(volume_id=str(uuid.UUID(int=n)), path=tmp_path / f"v{n}", format="qcow2", device=device)
        for n, device in ((1, None), (2, "/dev/vdb"), (3, None))
    ]
    _, devices = GuestFiles(tmp_path / "i").build(_spec(), {"image": base}, [], places, None)
    assert sorted(devices.values()) == ["/dev/vdb", "/dev/vdc", "/dev/vdd"]
    assert devices[places[1].volume_id] == "/dev/vdb"


def test_a_server_without_an_image_boots_from_its_volume(tmp_path: Path) -> None:
    place = VolumePlace(volume_id=VOLUME, path=tmp_path / "v", format="qcow2", boot_index=0)
    guest, devices = GuestFiles(tmp_path / "i").build(_spec(image_id=None), {}, [], [place], None)
    assert devices == {VOLUME: "/dev/vda"}
    assert guest.disks[0].boot_index == 0
    assert guest.disks[0].serial == VOLUME[:20]


def test_an_image_larger_than_the_disk_is_refused_and_a_repeat_writes_the_disk_once(
    tmp_path: Path, base: BootSource
) -> None:
    files = GuestFiles(tmp_path / "i")
    files.build(_spec(), {"image": base}, [], [], None)
    disk = tmp_path / "i" / SERVER / "disk.1"
    disk.write_bytes(b"what the guest wrote")
    files.build(_spec(), {"image": base}, [], [], None)
    assert disk.read_bytes() == b"what the guest wrote"
    with base.path.open("r+b") as file:
        file.truncate(2 * 2**30)
    with pytest.raises(BuildAborted):
        files.build(_spec(attempt=2), {"image": base}, [], [], None)


def test_an_undo_removes_its_own_attempts_files_and_the_last_one_the_folder(tmp_path: Path, base: BootSource) -> None:
    files = GuestFiles(tmp_path / "i")
    for attempt in (1, 2):
        files.build(_spec(attempt=attempt), {"image": base}, [], [], None)
    folder = tmp_path / "i" / SERVER
    (folder / "console.log").write_text("booting")
    files.remove(SERVER, lambda attempt: attempt == 1)
    assert {path.name for path in folder.iterdir()} == {"disk.2", "config.2", "guest.2.json", "console.log"}
    for _ in range(2):
        files.remove(SERVER, lambda attempt: attempt <= 2)
    assert files.servers() == set()


def test_a_disk_is_carried_over_once_with_what_it_holds_and_grows(tmp_path: Path, base: BootSource) -> None:
    files = GuestFiles(tmp_path / "i")
    files.build(_spec(attempt=1), {"image": base}, [], [], None)
    old, new = (tmp_path / "i" / SERVER / f"disk.{number}" for number in (1, 2))
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 64k", old], check=True, capture_output=True)
    for _ in range(2):
        files.carry(SERVER, 2, files.disk(SERVER, 1), 2, lambda: None)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "read -P 7 1M 64k", new], check=True, capture_output=True)
    info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", new]))
    assert (info["virtual-size"], info["full-backing-filename"]) == (2 * 2**30, str(base.path))
    assert json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", old]))["virtual-size"] == 2**30
    # An attempt that finds it there makes none of the image.
    guest, _ = files.build(_spec(attempt=2, disk_gb=2), {}, [], [], None)
    assert guest.disks[0].path == new


def test_a_copy_that_is_told_to_stop_leaves_nothing(tmp_path: Path, base: BootSource) -> None:
    files = GuestFiles(tmp_path / "i")
    files.build(_spec(attempt=1), {"image": base}, [], [], None)
    source = tmp_path / "i" / SERVER / "disk.1"
    source.unlink()
    os.mkfifo(source)

    def stop() -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        files.carry(SERVER, 2, source, 1, stop)
    assert files.attempts(SERVER) == {1}


def test_what_the_metadata_service_tells_is_the_latest_attempts_and_private(tmp_path: Path, base: BootSource) -> None:
    files = GuestFiles(tmp_path / "i")
    files.build(_spec(attempt=1, hostname="old"), {"image": base}, [_nic()], [], None)
    files.build(_spec(attempt=2, hostname="new"), {"image": base}, [_nic()], [], b"#!/bin/sh\n")
    told = files.metadata(SERVER)
    assert told is not None
    assert (told.hostname, told.user_data, told.nics[0].addresses[0].ip_address) == ("new", b"#!/bin/sh\n", "10.0.0.5")
    mode = (tmp_path / "i" / SERVER / "guest.2.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert files.metadata(str(uuid.UUID(int=99))) is None


def test_the_console_log_is_its_end_and_lines_are_counted_from_there(tmp_path: Path) -> None:
    files = GuestFiles(tmp_path / "i")
    assert files.console(SERVER, None) == ""
    folder = tmp_path / "i" / SERVER
    folder.mkdir()
    (folder / "console.log").write_bytes(b"x" * 200_000 + b"\none\ntwo\xff\n")
    assert len(files.console(SERVER, None)) <= 100 * 1024
    assert files.console(SERVER, 2).splitlines()[0] == "one"
    assert files.console(SERVER, 0) == ""


def test_a_rescue_boots_from_its_image_and_has_the_servers_disk_second(tmp_path: Path, base: BootSource) -> None:
    """As large as the image, whatever the flavor says; a volume that had the second place gives way."""
    volume = VolumePlace(volume_id=VOLUME, path=tmp_path / "v", format="qcow2", device="/dev/vdb")
    guest, devices = GuestFiles(tmp_path / "i").build(
        _spec(2, rescues=1, config_drive=False), {"image": base}, [], [volume], None
    )
    assert [(disk.path.name, disk.device, disk.serial, disk.boot_index) for disk in guest.disks] == [
        ("disk.2", "vda", "rescue", 0),
        ("disk.1", "vdb", SERVER[:20], None),
        ("v", "vdc", VOLUME[:20], None),
    ]
    assert devices == {VOLUME: "/dev/vdc"}
    info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", guest.disks[0].path]))
    assert info["virtual-size"] == 2**20
