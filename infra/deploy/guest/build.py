"""Builds the guest: packages, ramdisk, disk, in that order."""

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from infra.deploy.guest import disk, ramdisk
from infra.deploy.guest.packages import BuildError, unpack

TOOLS = {
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "grub-mkimage": "grub-common",
    "mke2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
}

__all__ = ["BuildError", "GuestFiles", "build"]


class GuestFiles(NamedTuple):
    kernel: Path
    ramdisk: Path
    disk: Path


def build(directory: Path) -> GuestFiles:
    """Build the guest into ``directory``; takes some seconds, needs apt's package sources and no privilege.

    Raises:
        BuildError: a tool or package is missing; nothing half-built is left.
    """
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if missing:
        raise BuildError(f"missing programs: run 'apt-get install {' '.join(missing)}' and try again")
    directory.mkdir(parents=True, exist_ok=True)
    files = GuestFiles(directory / "vmlinuz", directory / "initrd.img", directory / "disk.qcow2")
    with tempfile.TemporaryDirectory(prefix="guest-", dir=directory) as name:
        work = Path(name)
        root = unpack(work)
        kernel, packed = work / "vmlinuz", work / "initrd.img"
        kernel.write_bytes((root / "boot" / f"vmlinuz-{ramdisk.kernel_release(root)}").read_bytes())
        packed.write_bytes(ramdisk.build(root))
        disk.write(files.disk, kernel, packed, root, work)
        kernel.replace(files.kernel)
        packed.replace(files.ramdisk)
    return files
