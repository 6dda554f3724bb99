"""Writes cpio archives of the ``newc`` form, which Linux unpacks as its first root file system.

Format: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. Owners, modes and device nodes are
given here rather than read from disk, so that no privilege is needed and the result depends on its content only.
"""

import stat
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    name: str
    """Path without a leading slash."""
    mode: int
    """File type and permission bits."""
    data: bytes = b""
    """Content of a file, target of a symbolic link."""
    device: tuple[int, int] = (0, 0)
    """Major and minor number of a device node."""


def directory(name: str, mode: int = 0o755) -> Entry:
    return Entry(name, stat.S_IFDIR | mode)


def file(name: str, data: bytes, mode: int = 0o644) -> Entry:
    return Entry(name, stat.S_IFREG | mode, data)


def link(name: str, target: str) -> Entry:
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def character_device(name: str, major: int, minor: int, mode: int = 0o600) -> Entry:
    return Entry(name, stat.S_IFCHR | mode, device=(major, minor))


def archive(entries: Iterable[Entry]) -> bytes:
    """The archive of ``entries`` in the order given, all owned by root; a folder must come before what is in it."""
    parts = [_member(number, entry) for number, entry in enumerate(entries, start=1)]
    return b"".join([*parts, _member(0, Entry("TRAILER!!!", 0))])


def _member(inode: int, entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
