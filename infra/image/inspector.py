"""What image data really is. The format that an uploader claims is a claim, nothing more.

An image that names another file (backing file, data file, VMDK extents) makes whoever opens it read that file: the
classic way to a host's secrets. So the headers are read here first, by rules that allow little, and only data that
passed is shown to ``qemu-img``, with its format given and with limits on what the process may use.

Sources: QEMU's ``docs/interop/qcow2.txt``, VMware's "Virtual Disk Format 5.0", ECMA-119 (ISO 9660), Microsoft's VHD and
VHDX specifications.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infra.domain.errors import BadRequest
from infra.image import qcow2_header, vmdk_header
from infra.image.qemu_img import check, info

QEMU_FORMATS = {"qcow2": "qcow2", "vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx", "vdi": "vdi", "ploop": "parallels"}
"""Formats of the Image Service that have a header, and QEMU's names of them."""
PLAIN_FORMATS = frozenset({"raw", "ami", "aki", "ari", "iso"})
HEADER_BYTES = 64 * 1024
_ISO_OFFSET = 32769

_MAGICS: tuple[tuple[str, int, bytes], ...] = (
    ("qcow2", 0, b"QFI\xfb"),
    ("vmdk", 0, b"KDMV"),
    ("vmdk", 0, b"COWD"),
    ("vmdk", 0, b"# Disk DescriptorFile"),
    ("vhdx", 0, b"vhdxfile"),
    ("vhd", 0, b"conectix"),
    ("vdi", 0x40, b"\x7f\x10\xda\xbe"),
    ("ploop", 0, b"WithoutFreeSpace"),
    ("ploop", 0, b"WithouFreSpacExt"),
    ("qed", 0, b"QED\0"),
    ("luks", 0, b"LUKS\xba\xbe"),
    ("bochs", 0, b"Bochs Virtual HD Image"),
    ("cloop", 0, b"#!/bin/sh\n#V2.0 Format"),
)
_OTHERS = (
    *(b"\x7fELF", b"MZ", b"#!", b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf"),
    *(b"%PDF", b"\x89PNG", b"GIF8", b"\xff\xd8\xff", b"Rar!"),
)
_TRAILERS: tuple[tuple[str, bytes], ...] = (("vhd", b"conectix"), ("dmg", b"koly"))


class Inspection(BaseModel):
    model_config = ConfigDict(frozen=True)

    size: int
    virtual_size: int | None
    """Bytes of the disk as a guest sees it; None for kernels and ramdisks."""


def inspect(path: Path, disk_format: str, *, max_virtual_bytes: int, match: bool = True) -> Inspection:
    """Check that a file is of ``disk_format``, whole, and names no other file. Blocks.

    Args:
        max_virtual_bytes: the largest disk that it may describe.
        match: False lets binary data of no known format pass under any claim, without a virtual size, so that it
            can be kept but not booted. Data of a known format is always checked, and text is no disk.

    Raises:
        BadRequest: it is not, said in one sentence.
    """
    size = path.stat().st_size
    if size == 0:
        raise BadRequest("The image has no data.")
    found = detect(path)
    expected = disk_format if disk_format in QEMU_FORMATS else None
    unknown = found is None and expected is not None
    if found != expected and (match or not unknown or is_other(path)):
        raise BadRequest(
            f"The image is said to be {disk_format}, but its data is "
            f"{found or 'of no known disk format'}. The upload is refused."
        )
    if disk_format == "iso" and match and not is_iso(path):
        raise BadRequest("The image is said to be iso, but its data is not an ISO 9660 file system.")
    plain = None if unknown or disk_format in ("aki", "ari") else size
    virtual_size = plain if found is None else _virtual_size(path, found, size)
    if virtual_size is not None and virtual_size > max_virtual_bytes:
        raise BadRequest(
            f"The image describes a disk of {virtual_size} bytes; at most {max_virtual_bytes} are allowed."
        )
    return Inspection(size=size, virtual_size=virtual_size)


def detect(path: Path) -> str | None:
    """The disk format whose signature the file carries; None where there is none, as in raw data."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
        file.seek(max(0, path.stat().st_size - 512))
        trailer = file.read(512)
    for name, offset, magic in _MAGICS:
        if header[offset : offset + len(magic)] == magic:
            return name
    for name, magic in _TRAILERS:
        if trailer.startswith(magic):
            return name
    # QEMU takes a text for a VMDK descriptor when comments and blank lines come before its first key.
    return "vmdk" if vmdk_header.is_descriptor(header) else None


def is_other(path: Path) -> bool:
    """True for text, and for files that say what they are and are no disks: archives, programs, pictures."""
    with path.open("rb") as file:
        header = file.read(4096)
    if header.startswith(_OTHERS) or header[257:262] == b"ustar":
        return True
    try:
        text = header.decode()
    except UnicodeDecodeError as error:
        # A character cut at the end is no reason to think that it is not text.
        return error.start > len(header) - 8 and b"\0" not in header
    return "\0" not in text


def is_iso(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(_ISO_OFFSET)
        return file.read(5) == b"CD001"


def _virtual_size(path: Path, disk_format: str, size: int) -> int:
    """Size of the disk in a file of one of ``QEMU_FORMATS``, after every check that its format has."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
        if disk_format == "qcow2":
            qcow2_header.check(header, size)
        elif disk_format == "vmdk":
            vmdk_header.check(header, file, size)
    found = info(path, QEMU_FORMATS[disk_format])
    if found.backing_file or found.data_file:
        raise BadRequest("The image names another file as its backing or data file. The upload is refused.")
    if found.encrypted:
        raise BadRequest("Encrypted images are not supported.")
    if disk_format == "qcow2":
        check(path, "qcow2")
    return found.virtual_size
