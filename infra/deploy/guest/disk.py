"""The guest's bootable disk: GRUB, kernel and ramdisk, and one partition with an empty ext4 file system.

The ramdisk fills the file system at the first boot. GRUB finds kernel and ramdisk by sector, which under emulation
saves it half of the time that a file system would cost. Made with plain files only: no root, no loop device.
"""

import struct
from pathlib import Path
from typing import NamedTuple

from infra.deploy.guest.packages import BuildError, run

SECTOR = 512
# Room for GRUB before what it loads, as partitioning tools leave it.
FIRST_SECTOR = 2048
PARTITION_MIB = 48
LABEL = "guest-root"
ARGUMENTS = "root=/dev/vda1 console=tty0 console=ttyS0 no_timer_check loglevel=6"
_GRUB_MODULES = ("biosdisk", "linux", "boot")
# Fixed, so that two builds of the same packages give the same disk.
_UUID = "6b696c6f-6e6f-7661-8000-677565737431"
_DISK_ID = b"kilo"


class _Layout(NamedTuple):
    """First sectors and lengths in sectors."""

    kernel: tuple[int, int]
    ramdisk: tuple[int, int]
    partition: int


def write(target: Path, kernel: Path, ramdisk: Path, root: Path, work: Path) -> None:
    """Write the disk as qcow2 to ``target``, whole or not at all; ``root`` holds GRUB's unpacked package.

    Raises:
        BuildError: a tool is missing, or failed.
    """
    kernel_sectors, ramdisk_sectors = _sectors(kernel.stat().st_size), _sectors(ramdisk.stat().st_size)
    ramdisk_at = FIRST_SECTOR + kernel_sectors
    # Partitions begin at whole MiB.
    partition_at = -(-(ramdisk_at + ramdisk_sectors) // FIRST_SECTOR) * FIRST_SECTOR
    layout = _Layout((FIRST_SECTOR, kernel_sectors), (ramdisk_at, ramdisk_sectors), partition_at)
    boot, core = _grub(layout, root, work)
    raw = work / "disk.raw"
    with raw.open("wb") as disk:
        partition = _file_system(work)
        disk.write(_first_sector(boot, layout, _sectors(len(partition))) + core)
        for start, data in (
            (layout.kernel[0], kernel.read_bytes()),
            (layout.ramdisk[0], ramdisk.read_bytes()),
            (layout.partition, partition),
        ):
            disk.seek(start * SECTOR)
            disk.write(data)
    part = target.with_suffix(".part")
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(part))
    part.replace(target)


def _sectors(size: int) -> int:
    return -(-size // SECTOR)


def _file_system(work: Path) -> bytes:
    image = work / "partition.raw"
    options = f"root_owner=0:0,lazy_itable_init=0,hash_seed={_UUID}"
    command = ("mke2fs", "-q", "-t", "ext4", "-F", "-b", "4096", "-m", "1", "-L", LABEL, "-U", _UUID, "-E", options)
    run(*command, str(image), f"{PARTITION_MIB}M")
    return image.read_bytes()


def _grub(layout: _Layout, root: Path, work: Path) -> tuple[bytes, bytes]:
    """GRUB's boot sector and the core image that it loads from the sectors behind it."""
    modules = root / "usr" / "lib" / "grub" / "i386-pc"
    config, core = work / "grub.cfg", work / "core.img"
    kernel, ramdisk = (f"(hd0){start}+{length}" for start, length in (layout.kernel, layout.ramdisk))
    config.write_text(f"linux {kernel} {ARGUMENTS}\ninitrd {ramdisk}\nboot\n")
    command = ("grub-mkimage", "-O", "i386-pc", "-p", "/boot/grub", "-d", str(modules), "-c", str(config))
    run(*command, "-o", str(core), *_GRUB_MODULES)
    image = core.read_bytes()
    if len(image) > (FIRST_SECTOR - 1) * SECTOR:
        raise BuildError("GRUB's core image does not fit before the kernel")
    return (modules / "boot.img").read_bytes(), image


def _first_sector(boot: bytes, layout: _Layout, sectors: int) -> bytes:
    # Cylinders, heads and sectors beyond 8 GB by convention: the addresses in sectors count.
    geometry = b"\xfe\xff\xff"
    entry = struct.pack("<B3sB3sII", 0x80, geometry, 0x83, geometry, layout.partition, sectors)
    return boot[:440] + _DISK_ID + b"\0\0" + entry + b"\0" * 48 + b"\x55\xaa"
