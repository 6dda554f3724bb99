"""The beginning of a qcow2 file: read to trust it or not, written to make an empty disk or an overlay.

Format: QEMU's docs/interop/qcow2.txt, version 3. An empty disk is four small tables; writing them here saves the
start of a ``qemu-img`` process at every boot.
"""

import struct
from pathlib import Path

from infra.domain.errors import BuildAborted

_MAGIC = b"QFI\xfb"
_VERSION = 3
_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_REFCOUNT_ORDER = 4
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
# The fields that versions 2 and 3 share, up to the size; then version 3's incompatible features.
_COMMON = struct.Struct(">4sIQIIQ")
_FEATURES_AT = 72
_EXTERNAL_DATA = 1 << 2
_BACKING_FORMAT = 0xE2792ACA
_LONGEST_NAME = 1023
# A table entry covers one cluster of 8-byte entries, each of one cluster.
_L1_COVERS = _CLUSTER * _CLUSTER // 8


def size_of(path: Path, disk_format: str) -> int:
    """Bytes of the disk in the file ``path``, which must stand by itself.

    Raises:
        BuildAborted: it is not of ``disk_format``, or it names a backing or data file.
    """
    if disk_format == "raw":
        return path.stat().st_size
    if disk_format != "qcow2":
        raise BuildAborted(f"Disks of format '{disk_format}' can't be booted from")
    with path.open("rb") as file:
        start = file.read(_FEATURES_AT + 8)
    if len(start) < _FEATURES_AT + 8 or not start.startswith(_MAGIC):
        raise BuildAborted("The image's data is not qcow2")
    _, version, backing_offset, _, _, size = _COMMON.unpack_from(start)
    features = int.from_bytes(start[_FEATURES_AT:], "big") if version >= _VERSION else 0
    if backing_offset or features & _EXTERNAL_DATA:
        raise BuildAborted("The image's data refers to another file")
    return int(size)


def virtual_size(path: Path) -> int:
    """Bytes of the disk in a qcow2 file that was written here, whatever it is an overlay of."""
    with path.open("rb") as file:
        return int(_COMMON.unpack(file.read(_COMMON.size))[-1])


def stands_alone(path: Path) -> bool:
    """Whether a qcow2 file that was written here is an overlay of no other."""
    with path.open("rb") as file:
        _, _, backing_offset, *_ = _COMMON.unpack(file.read(_COMMON.size))
    return not backing_offset


def empty(size: int, backing: Path | None = None, backing_format: str = "raw") -> bytes:
    """The content of an empty disk of ``size`` bytes, over the file ``backing`` where one is given.

    Raises:
        BuildAborted: the backing file's path is too long.
    """
    entries = max(1, -(-size // _L1_COVERS))
    l1_clusters = -(-entries * 8 // _CLUSTER)
    # Header, refcount table, refcount block, L1 table. One block counts 32,768 clusters: L1 tables up to 1 EiB.
    clusters = 3 + l1_clusters
    extensions = _extension(_BACKING_FORMAT, backing_format.encode()) if backing is not None else b""
    extensions += struct.pack(">II", 0, 0)
    name = str(backing).encode() if backing is not None else b""
    if len(name) > _LONGEST_NAME:
        raise BuildAborted("The path of the image in the cache is too long")
    name_at = _HEADER.size + len(extensions) if name else 0
    header = _HEADER.pack(
        _MAGIC, _VERSION, name_at, len(name), _CLUSTER_BITS, size,
        0, entries, 3 * _CLUSTER, _CLUSTER, 1, 0, 0, 0, 0, 0, _REFCOUNT_ORDER, _HEADER.size,
    )  # fmt: skip
    refcount_table = struct.pack(">Q", 2 * _CLUSTER)
    refcounts = struct.pack(">H", 1) * clusters
    parts = (header + extensions + name, refcount_table, refcounts)
    return b"".join(part.ljust(_CLUSTER, b"\0") for part in parts) + b"\0" * (l1_clusters * _CLUSTER)


def _extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">II", kind, len(data)) + data + b"\0" * (-len(data) % 8)
