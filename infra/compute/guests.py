"""A server's files on its host, and the guest that is made of them.

``<directory>/<server>/``: ``disk.<attempt>`` (overlay over the cached image), ``config.<attempt>`` (config drive),
``guest.<attempt>.json`` (what the metadata service tells it), ``parked.<attempt>`` and ``console.log``. File names hold
the attempt, so that an undo that comes late removes what its own attempt made and nothing else.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.compute import disks, qcow2
from infra.compute.driver import Disk, Guest, Interface
from infra.compute.instance import BootSource, InstanceSpec, NicPlace, VolumePlace
from infra.compute.metadata import GuestDisk, GuestKey, GuestMetadata
from infra.domain.network import Nic

GIB = 1024**3
CONSOLE_BYTES = 100 * 1024
"""What a console log answers at most, as Nova does."""
KERNEL_ARGUMENTS = "root=/dev/vda console=tty0 console=ttyS0 no_timer_check"
"""``no_timer_check``: a guest on a starved CPU under TCG panics without it now and then."""
CONFIG_DRIVE_DEVICE = "vdz"
RESCUE_SERIAL = "rescue"
"""Of the disk that a server is rescued with; its own keeps its serial."""
_FILE = re.compile(r"(?:disk|config|guest|parked)\.(\d+)(?:\.json)?(?:\.part)?")


class GuestFiles:
    """All servers' files of one host."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)

    def build(
        self,
        spec: InstanceSpec,
        images: dict[str, BootSource],
        nics: list[NicPlace],
        volumes: list[VolumePlace],
        user_data: bytes | None,
    ) -> tuple[Guest, dict[str, str]]:
        """Write the files of an attempt and say what guest they make; a repeat finds them written.

        Returns:
            The guest, and the device of each volume in it (``/dev/vdb`` by volume id).

        Raises:
            BuildAborted: the image does not make a disk of the flavor's size.
            HostRejected: no room.
        """
        folder = self._directory / spec.server_id
        folder.mkdir(mode=0o711, exist_ok=True)
        attached = self._disks(spec, images, volumes)
        metadata = _metadata(spec, nics, attached, volumes, user_data)
        disks.write_private(folder / f"guest.{spec.attempt}.json", metadata.model_dump_json().encode())
        if spec.config_drive:
            path = folder / f"config.{spec.attempt}"
            disks.write_config_drive(path, metadata)
            attached.append(
                Disk(path=path, format="raw", device=CONFIG_DRIVE_DEVICE, serial="config-2", read_only=True)
            )
        kernel, ramdisk = images.get(spec.kernel_id or ""), images.get(spec.ramdisk_id or "")
        guest = Guest(
            server_id=spec.server_id,
            attempt=spec.attempt,
            name=spec.name,
            domain_name=f"kn-{spec.server_id}",
            project_id=spec.project_id,
            user_id=spec.user_id,
            flavor_name=spec.flavor_name,
            vcpus=spec.vcpus,
            memory_mb=spec.memory_mb,
            numa=spec.numa,
            pci=spec.pci,
            disks=tuple(attached),
            interfaces=tuple(interface(place) for place in nics),
            kernel=kernel.path if kernel else None,
            ramdisk=ramdisk.path if ramdisk else None,
            kernel_arguments=KERNEL_ARGUMENTS if kernel else None,
            console_log=folder / "console.log",
        )
        return guest, {volume.volume_id: f"/dev/{_target(attached, volume)}" for volume in volumes}

    def volume_disk(self, volume: VolumePlace, target: str) -> Disk:
        return Disk(
            path=volume.path,
            format=volume.format,
            device=target,
            serial=self.serial(volume.volume_id),
            boot_index=volume.boot_index,
        )

    def serial(self, volume_id: str) -> str:
        """Virtio disks tell 20 characters of a serial."""
        return volume_id[:20]

    def metadata(self, server_id: str) -> GuestMetadata | None:
        """What the metadata service tells the server: of its latest attempt."""
        found = sorted(self.attempts(server_id), reverse=True)
        for attempt in found:
            try:
                data = (self._directory / server_id / f"guest.{attempt}.json").read_bytes()
            except FileNotFoundError:
                continue
            return GuestMetadata.model_validate_json(data)
        return None

    def tell_nics(self, server_id: str, attempt: int, port_id: str, nic: Nic | None) -> None:
        """What the metadata service tells the guest of a port from now on; None: nothing."""
        path = self._directory / server_id / f"guest.{attempt}.json"
        try:
            told = GuestMetadata.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return
        nics = (*(one for one in told.nics if one.port_id != port_id), *((nic,) if nic is not None else ()))
        disks.write_private(path, told.model_copy(update={"nics": nics}).model_dump_json().encode())

    def console(self, server_id: str, lines: int | None) -> str:
        """The end of the console log; empty where there is none yet."""
        try:
            with (self._directory / server_id / "console.log").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - CONSOLE_BYTES))
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        if lines is None:
            return text
        return "".join(text.splitlines(keepends=True)[-lines:]) if lines > 0 else ""

    def parked(self, server_id: str, attempt: int) -> Path:
        """Where an attempt's definition is kept while the hypervisor has none of it."""
        return self._directory / server_id / f"parked.{attempt}"

    def disk(self, server_id: str, attempt: int) -> Path:
        return self._directory / server_id / f"disk.{attempt}"

    def carry(self, server_id: str, attempt: int, source: Path, size_gb: int, beat: disks.Heartbeat) -> None:
        """Make an attempt's root disk of a disk that nobody writes to, with ``size_gb`` (0: its own size)."""
        disks.create_copy(self.disk(server_id, attempt), source, size_gb * GIB, beat)

    def remove(self, server_id: str, closed: Callable[[int], bool]) -> None:
        """Delete the files of the attempts that are closed; with the last of them the server's folder."""
        folder = self._directory / server_id
        for number in filter(closed, self.attempts(server_id)):
            for name in (f"disk.{number}", f"config.{number}", f"guest.{number}.json", f"parked.{number}"):
                disks.remove(folder / name)
        if folder.exists() and not self.attempts(server_id):
            for rest in folder.iterdir():
                rest.unlink()
            folder.rmdir()

    def has_disk(self, server_id: str, attempt: int) -> bool:
        return (self._directory / server_id / f"disk.{attempt}").exists()

    def stands_alone(self, server_id: str, attempt: int) -> bool:
        """Whether an attempt has a root disk that needs no image: it was carried over from another host."""
        return self.has_disk(server_id, attempt) and qcow2.stands_alone(self.disk(server_id, attempt))

    def servers(self) -> set[str]:
        """Servers that have files here."""
        return {folder.name for folder in self._directory.iterdir() if folder.is_dir()}

    def attempts(self, server_id: str) -> set[int]:
        """Attempts at a server that have files here."""
        try:
            names = [path.name for path in (self._directory / server_id).iterdir()]
        except FileNotFoundError:
            return set()
        found = map(_FILE.fullmatch, names)
        return {int(match[1]) for match in found if match}

    def _disks(self, spec: InstanceSpec, images: dict[str, BootSource], volumes: list[VolumePlace]) -> list[Disk]:
        """The root disk as ``vda``, one to mend as ``vdb``, then the volumes: those with a name of their own first keep
        it."""
        made: list[Disk] = []
        if spec.image_id is not None:
            # Without its image the disk is there: it was carried over from another attempt.
            path, source = self.disk(spec.server_id, spec.attempt), images.get(spec.image_id)
            size = 0 if spec.rescues else spec.disk_gb * GIB
            if source is not None:
                disks.create_overlay(path, source.path, source.format, size)
            serial = RESCUE_SERIAL if spec.rescues else spec.server_id[:20]
            made.append(Disk(path=path, format="qcow2", device="vda", serial=serial, boot_index=0))
        if spec.rescues:
            path = self.disk(spec.server_id, spec.rescues)
            made.append(Disk(path=path, format="qcow2", device="vdb", serial=spec.server_id[:20]))
        boots = sorted(volumes, key=lambda volume: (volume.boot_index != 0, volume.device is None))
        taken = {disk.device for disk in made} | {
            volume.device.removeprefix("/dev/") for volume in volumes if volume.device and volume.boot_index != 0
        }
        for volume in boots:
            asked = (volume.device or "").removeprefix("/dev/")
            if volume.boot_index == 0:
                target = "vda"
            elif asked and asked not in {disk.device for disk in made}:
                target = asked
            else:
                target = next(name for letter in "bcdefghijklmnopqrstuvwxy" if (name := f"vd{letter}") not in taken)
            taken.add(target)
            made.append(self.volume_disk(volume, target))
        return made


def interface(place: NicPlace) -> Interface:
    """Of a guest, for a port that is plugged here."""
    return Interface(
        port_id=place.nic.port_id,
        mac_address=place.nic.mac_address,
        bridge=place.bridge,
        tap=place.tap,
        mtu=place.nic.mtu,
    )


def _target(attached: list[Disk], volume: VolumePlace) -> str:
    return next(disk.device for disk in attached if disk.path == volume.path)


def _metadata(
    spec: InstanceSpec,
    nics: list[NicPlace],
    attached: list[Disk],
    volumes: list[VolumePlace],
    user_data: bytes | None,
) -> GuestMetadata:
    values: dict[str, Any] = {}
    if spec.availability_zone:
        values["availability_zone"] = spec.availability_zone.partition(":")[0]
    if spec.key_name and spec.public_key:
        values["keys"] = (GuestKey(name=spec.key_name, type=spec.key_type, public_key=spec.public_key),)
    return GuestMetadata(
        server_id=spec.server_id,
        name=spec.name,
        hostname=spec.hostname,
        project_id=spec.project_id,
        launch_index=spec.launch_index,
        metadata=spec.metadata,
        nics=tuple(place.nic for place in nics),
        disks=tuple(
            GuestDisk(serial=volume.volume_id, device=f"/dev/{_target(attached, volume)}") for volume in volumes
        ),
        user_data=user_data,
        **values,
    )
