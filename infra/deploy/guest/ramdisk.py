"""The guest's ramdisk: its whole system, from unpacked packages and the files beside this module."""

import gzip
import re
import stat
from pathlib import Path, PurePosixPath

from infra.deploy.guest import cpio
from infra.deploy.guest.packages import BuildError, run

FILES = Path(__file__).parent / "files"
MODULES = (
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_scsi",
    "virtio_rng",
    "sd_mod",
    "isofs",
    "vfat",
    "nls_iso8859_1",
    "button",
    "evdev",
)
PROGRAMS = {
    "usr/sbin/dropbear": "usr/sbin/dropbear",
    "usr/bin/dropbearkey": "usr/bin/dropbearkey",
    "sbin/resize2fs": "usr/sbin/resize2fs",
    "sbin/mke2fs": "usr/sbin/mke2fs",
}
LINKS = {
    "usr/sbin/mkfs.ext4": "mke2fs",
    "usr/sbin/mkfs.ext3": "mke2fs",
    "usr/sbin/mkfs.ext2": "mke2fs",
    "etc/mtab": "/proc/self/mounts",
    "etc/mke2fs.conf": "/usr/lib/guest/mke2fs.conf",
}
# Where scripts, the kernel and people look for these by path.
SBIN = ("getty", "halt", "init", "ip", "ifconfig", "modprobe", "poweroff", "reboot", "route", "switch_root", "udhcpc")
# BusyBox's own are left out where a fuller program or a wrapper stands for them.
REPLACED = {"mke2fs", "dpkg", "dpkg-deb", "rpm", "rpm2cpio", "init", "linuxrc"}
FOLDERS = ("dev", "mnt", "proc", "root", "root-disk", "run", "sys", "home", "home/cirros", "var", "var/log", "var/run")


def build(root: Path) -> bytes:
    """The compressed ramdisk, from packages unpacked at ``root``.

    Raises:
        BuildError: a file that is needed is in none of the packages.
    """
    found: dict[str, cpio.Entry] = {}
    for entry in (*_busybox(root), *_programs(root), *_modules(root), *_own_files(root)):
        found[entry.name] = entry
    for name, target in LINKS.items():
        found[name] = cpio.link(name, target)
    found["tmp"] = cpio.directory("tmp", 0o1777)
    found["dev/console"] = cpio.character_device("dev/console", 5, 1)
    for name in (*FOLDERS, *(str(parent) for entry in list(found) for parent in PurePosixPath(entry).parents)):
        if name != ".":
            found.setdefault(name, cpio.directory(name, 0o700 if name == "root" else 0o755))
    return gzip.compress(cpio.archive(found[name] for name in sorted(found)), compresslevel=6, mtime=0)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BuildError(
            f"'{path.name}' is in none of the packages: the guest's package list is out of date"
        ) from error


def _busybox(root: Path) -> list[cpio.Entry]:
    binary = root / "bin" / "busybox"
    # Set-uid for the applets that ask for it (su, ping); BusyBox drops it for all others.
    entries = [cpio.file("bin/busybox", _read(binary), 0o4755)]
    applets = set(run(str(binary), "--list").split()) - REPLACED
    entries += [cpio.link(f"bin/{applet}", "busybox") for applet in sorted(applets - {"busybox"})]
    return entries + [cpio.link(f"sbin/{applet}", "../bin/busybox") for applet in SBIN]


def _programs(root: Path) -> list[cpio.Entry]:
    entries = [cpio.file(target, _read(root / source), 0o755) for source, target in PROGRAMS.items()]
    loader = root / "lib64" / "ld-linux-x86-64.so.2"
    libraries = f"{root}/lib/x86_64-linux-gnu:{root}/usr/lib/x86_64-linux-gnu"
    needed: set[Path] = set()
    for source in PROGRAMS:
        listed = run(str(loader.resolve()), "--library-path", libraries, "--list", str(root / source))
        if missing := re.findall(r"(\S+) => not found", listed):
            raise BuildError(f"library '{missing[0]}' of '{source}' is in none of the packages")
        needed.update(Path(path) for path in re.findall(r"=> (\S+) \(", listed) if path.startswith(str(root)))
    entries.append(cpio.file("lib64/ld-linux-x86-64.so.2", _read(loader.resolve()), 0o755))
    return entries + [cpio.file(f"lib/x86_64-linux-gnu/{path.name}", _read(path)) for path in sorted(needed)]


def _modules(root: Path) -> list[cpio.Entry]:
    """The kernel modules with all they depend on, and the ``modules.dep`` that modprobe(8) reads."""
    release = kernel_release(root)
    base = root / "lib" / "modules" / release
    paths = {path.stem.replace("-", "_"): path for path in base.rglob("*.ko")}

    def loaded_before(name: str) -> list[str]:
        if name not in paths:
            raise BuildError(f"kernel {release} has no module '{name}'")
        depends = re.search(rb"\0depends=([^\0]*)\0", paths[name].read_bytes())
        direct = [part.decode().replace("-", "_") for part in depends[1].split(b",") if part] if depends else []
        return list(dict.fromkeys(deep for part in direct for deep in (*loaded_before(part), part)))

    names = [name for name in MODULES if name in paths or not _built_in(base, name)]
    closure = {name: loaded_before(name) for wanted in names for name in (wanted, *loaded_before(wanted))}
    relative = {name: str(paths[name].relative_to(base)) for name in closure}
    # modprobe loads what a line lists from its end to its beginning.
    lines = [
        f"{relative[name]}: {' '.join(relative[part] for part in reversed(closure[name]))}\n"
        for name in sorted(closure)
    ]
    target = f"lib/modules/{release}"
    entries = [cpio.file(f"{target}/{relative[name]}", _read(paths[name])) for name in sorted(closure)]
    return [*entries, cpio.file(f"{target}/modules.dep", "".join(lines).encode())]


def _built_in(base: Path, name: str) -> bool:
    listed = _read(base / "modules.builtin").decode().split()
    return name in {PurePosixPath(path).stem.replace("-", "_") for path in listed}


def kernel_release(root: Path) -> str:
    """The one kernel release among the packages unpacked at ``root``."""
    releases = sorted(path.name for path in (root / "lib" / "modules").glob("*"))
    if len(releases) != 1:
        raise BuildError(f"expected one kernel, found {releases or 'none'}")
    return releases[0]


def _own_files(root: Path) -> list[cpio.Entry]:
    entries = [cpio.file("usr/lib/guest/mke2fs.conf", _read(root / "etc" / "mke2fs.conf"))]
    for path in sorted(FILES.rglob("*")):
        name = path.relative_to(FILES).as_posix()
        if path.is_dir():
            entries.append(cpio.directory(name))
        elif name == "etc/shadow":
            entries.append(cpio.file(name, path.read_bytes(), 0o600))
        else:
            entries.append(cpio.file(name, path.read_bytes(), 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644))
    return entries
