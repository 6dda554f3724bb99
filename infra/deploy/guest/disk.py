"""The guest's bootable disk: GRUB, one partition, and on it an ext4 file system with kernel and ramdisk.

The ramdisk fills the rest of the file system at the first boot. Made with plain files only: no root, no loop device.
"""

import struct
from pathlib import Path

from infra.deploy.guest.packages import BuildError, run

SECTOR = 512
# Room for GRUB before the partition, as partitioning tools leave it.
FIRST_SECTOR = 2048
PARTITION_MIB = 95
LABEL = "guest-root"
ARGUMENTS = "root=/dev/vda1 console=tty0 console=ttyS0 no_timer_check quiet"
_GRUB_CONFIG = f"""\
set root=hd0,msdos1
linux /boot/vmlinuz {ARGUMENTS}
initrd /boot/initrd.img
boot
"""
_GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "linux", "boot")
# Fixed, so that two builds of the same packages give the same file system.
_UUID = "6b696c6f-6e6f-7661-8000-677565737431"
_DISK_ID = b"kilo"


def write(target: Path, kernel: Path, ramdisk: Path, root: Path, work: Path) -> None:
    """Write the disk as qcow2 to ``target``, whole or not at all; ``root`` holds GRUB's unpacked package.

    Raises:
        BuildError: a tool is missing, or the file system is too small for kernel and ramdisk.
    """
    raw = work / "disk.raw"
    _lay_out(raw, _grub(root, work), _partition(kernel, ramdisk, work))
    part = target.with_suffix(".part")
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", str(raw), str(part))
    part.replace(target)


def _partition(kernel: Path, ramdisk: Path, work: Path) -> bytes:
    tree = work / "tree" / "boot"
    tree.mkdir(parents=True)
    (tree / "vmlinuz").write_bytes(kernel.read_bytes())
    (tree / "initrd.img").write_bytes(ramdisk.read_bytes())
    image = work / "partition.raw"
    options = f"root_owner=0:0,lazy_itable_init=0,hash_seed={_UUID}"
    command = ("mke2fs", "-q", "-t", "ext4", "-F", "-b", "4096", "-m", "1", "-L", LABEL, "-U", _UUID, "-E", options)
    run(*command, "-d", str(tree.parent), str(image), f"{PARTITION_MIB}M")
    return image.read_bytes()


def _grub(root: Path, work: Path) -> tuple[bytes, bytes]:
    """GRUB's boot sector and the core image that it loads from the sectors behind it."""
    modules = root / "usr" / "lib" / "grub" / "i386-pc"
    config, core = work / "grub.cfg", work / "core.img"
    config.write_text(_GRUB_CONFIG)
    command = ("grub-mkimage", "-O", "i386-pc", "-p", "/boot/grub", "-d", str(modules), "-c", str(config))
    run(*command, "-o", str(core), *_GRUB_MODULES)
    return (modules / "boot.img").read_bytes(), core.read_bytes()


def _lay_out(raw: Path, grub: tuple[bytes, bytes], partition: bytes) -> None:
    boot, core = grub
    if len(core) > (FIRST_SECTOR - 1) * SECTOR:
        raise BuildError("GRUB's core image does not fit before the first partition")
    # Cylinders, heads and sectors beyond 8 GB by convention: the addresses in sectors count.
    geometry = b"\xfe\xff\xff"
    entry = struct.pack("<B3sB3sII", 0x80, geometry, 0x83, geometry, FIRST_SECTOR, len(partition) // SECTOR)
    sector = boot[:440] + _DISK_ID + b"\0\0" + entry + b"\0" * 48 + b"\x55\xaa"
    with raw.open("wb") as disk:
        disk.write(sector + core)
        disk.seek(FIRST_SECTOR * SECTOR)
        disk.write(partition)
