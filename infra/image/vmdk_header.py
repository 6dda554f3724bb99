"""The rules for a VMDK ("Virtual Disk Format 5.0"): one sparse file that holds its own data, nothing else.

A descriptor may list extents in other files, or whole devices, and QEMU opens what it lists. Only the two kinds that
are one file are allowed, with the one extent that names this very file.
"""

import re
import struct
from typing import BinaryIO

from infra.domain.errors import BadRequest

_HEADER = struct.Struct("<4sIIQQQQ")
_SECTOR = 512
_MAX_DESCRIPTOR = 1024 * 1024
_TYPES = ("monolithicSparse", "streamOptimized")
_EXTENT = re.compile(r"^\s*(RW|RDONLY|NOACCESS)\s+\d+\s+(\w+)\s+(\"[^\"]*\".*)?$", re.MULTILINE)
_KEY = re.compile(r"^\s*(\w+)\s*=\s*\"?([^\"\r\n]*?)\"?\s*$", re.MULTILINE)


def is_descriptor(header: bytes) -> bool:
    """True if QEMU would take these first bytes for a text descriptor: comments and blanks, then ``version=``."""
    for line in header[:4096].split(b"\n"):
        text = line.strip()
        if text and not text.startswith(b"#"):
            return text.startswith((b"version=1", b"version=2", b"version=3"))
    return False


def check(header: bytes, file: BinaryIO, file_size: int) -> None:
    """Raises BadRequest if it is anything but one self-contained sparse file."""
    if not header.startswith(b"KDMV") or len(header) < _HEADER.size:
        raise BadRequest("Only VMDK images of one sparse file are supported, not descriptors of other files.")
    _, _, _, capacity, _, sector, sectors = _HEADER.unpack_from(header)
    if not capacity or not sector or not sectors:
        raise BadRequest("Only VMDK images of one sparse file with an embedded descriptor are supported.")
    length = sectors * _SECTOR
    if length > _MAX_DESCRIPTOR or sector * _SECTOR + length > file_size:
        raise BadRequest("The VMDK image is truncated or damaged: its descriptor lies beyond its end.")
    file.seek(sector * _SECTOR)
    _check_descriptor(file.read(length).split(b"\0", 1)[0].decode("latin-1"))


def _check_descriptor(text: str) -> None:
    keys = {name.lower(): value for name, value in _KEY.findall(text)}
    if keys.get("createtype") not in _TYPES:
        raise BadRequest(f"Only VMDK images of the types {' and '.join(_TYPES)} are supported.")
    if keys.get("parentcid", "ffffffff").lower() != "ffffffff" or "parentfilenamehint" in keys:
        raise BadRequest("The VMDK image has a parent. The upload is refused.")
    extents = _EXTENT.findall(text)
    if len(extents) != 1 or extents[0][1] != "SPARSE" or "/" in extents[0][2]:
        raise BadRequest("The VMDK image names other files as extents. The upload is refused.")
