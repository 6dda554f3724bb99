"""The rules for a QCOW2 header (QEMU's ``docs/interop/qcow2.txt``): nothing that points out of the file."""

import struct

from infra.domain.errors import BadRequest

_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
_EXTENSION = struct.Struct(">II")
_EXTERNAL_DATA_FILE = 0x44415441
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_ALLOWED = _DIRTY | _COMPRESSION | _EXTENDED_L2


def check(header: bytes, file_size: int) -> None:
    """Check the first bytes of a file that starts with QCOW2's signature.

    Raises:
        BadRequest: it has a backing file, an external data file, encryption or features that are not known, or it
            is cut off.
    """
    if len(header) < _V2.size:
        raise BadRequest("The qcow2 image is truncated: its header is not whole.")
    fields = _V2.unpack_from(header)
    version, backing_offset, cluster_bits, encryption = fields[1], fields[2], fields[4], fields[6]
    l1_entries, l1_offset, refcount_offset = fields[7], fields[8], fields[9]
    if version not in (2, 3):
        raise BadRequest(f"Version {version} of qcow2 is not supported.")
    if backing_offset:
        raise BadRequest("The qcow2 image has a backing file. The upload is refused.")
    if encryption:
        raise BadRequest("Encrypted images are not supported.")
    if not 9 <= cluster_bits <= 21:
        raise BadRequest("The qcow2 image is damaged: its cluster size is impossible.")
    if l1_offset + 8 * l1_entries > file_size or refcount_offset >= file_size:
        raise BadRequest("The qcow2 image is truncated: its tables lie beyond its end.")
    if version == 3:
        _check_features(header, 1 << cluster_bits)


def _check_features(header: bytes, cluster_size: int) -> None:
    if len(header) < _V2.size + _V3.size:
        raise BadRequest("The qcow2 image is truncated: its header is not whole.")
    incompatible, _, _, _, header_length = _V3.unpack_from(header, _V2.size)
    if incompatible & _DATA_FILE:
        raise BadRequest("The qcow2 image has an external data file. The upload is refused.")
    if incompatible & _CORRUPT:
        raise BadRequest("The qcow2 image is marked as corrupt.")
    if incompatible & ~_ALLOWED:
        raise BadRequest("The qcow2 image has incompatible features that are not known. The upload is refused.")
    offset, end = header_length, min(len(header), cluster_size)
    while offset + _EXTENSION.size <= end:
        kind, length = _EXTENSION.unpack_from(header, offset)
        if kind == _EXTERNAL_DATA_FILE:
            raise BadRequest("The qcow2 image has an external data file. The upload is refused.")
        if kind == 0:
            return
        offset += _EXTENSION.size + (length + 7 & ~7)
