"""What a new volume is made from, checked: nothing, an image, a volume or a snapshot."""

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session

from api.volume.schemas import NewVolume
from api.volume.wire import Call
from infra.db import images, snapshots, volumes
from infra.domain.errors import BadRequest, NotFound
from infra.domain.image import Image

GIB = 1024**3
FORMATS = ("qcow2", "raw", "ami", "iso")
"""Formats of images that volumes are made from."""


class Source(BaseModel):
    model_config = ConfigDict(frozen=True)

    size_gb: int
    image_id: str | None = None
    volume_id: str | None = None
    snapshot_id: str | None = None
    bootable: bool = False
    image_metadata: dict[str, str] = Field(default_factory=dict)


def source_of(session: Session, call: Call, new: NewVolume) -> Source:
    """
    Raises:
        BadRequest: more than one source, one that can't be used, or a size that it does not fit into.
        NotFound: no such volume or snapshot of the project's.
    """
    image_id = new.imageRef or new.image_id
    if sum(one is not None for one in (image_id, new.snapshot_id, new.source_volid)) > 1:
        raise BadRequest("A volume is made from one of an image, a snapshot and a volume, not from several.")
    if image_id is not None:
        return _image(session, call, image_id, new.size)
    if new.snapshot_id is not None:
        return _snapshot(session, call, new.snapshot_id, new.size)
    if new.source_volid is not None:
        return _volume(session, call, new.source_volid, new.size)
    if new.size is None:
        raise BadRequest("Invalid input received: the size of the volume is missing.")
    return Source(size_gb=new.size)


def _image(session: Session, call: Call, image_id: str, size: int | None) -> Source:
    try:
        image = images.get(session, image_id, call.context.project_id, everything=call.context.is_admin)
    except NotFound:
        raise BadRequest("Invalid image identifier or unable to access requested image.") from None
    if size is None:
        raise BadRequest("Invalid input received: the size of the volume is missing.")
    if image.status != "active":
        raise BadRequest(f"Invalid input received: Image {image.id} is not active.")
    if image.disk_format not in FORMATS:
        raise BadRequest(f"Image {image.id} is unacceptable: no volume is made from the format {image.disk_format}.")
    if max(image.virtual_size or 0, image.size or 0 if image.disk_format != "qcow2" else 0) > size * GIB:
        raise BadRequest(f"Invalid input received: Size of specified image is larger than volume size {size}GB.")
    if image.min_disk > size:
        raise BadRequest(
            f"Invalid input received: Volume size {size}GB cannot be smaller than the image minDisk size "
            f"{image.min_disk}GB."
        )
    return Source(size_gb=size, image_id=image.id, bootable=True, image_metadata=image_facts(image))


def image_facts(image: Image) -> dict[str, str]:
    """What a volume keeps of the image that it was made from (``volume_image_metadata``)."""
    facts = {
        "image_id": image.id,
        "image_name": image.name,
        "checksum": image.checksum,
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "size": image.size,
        **image.properties,
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


def _snapshot(session: Session, call: Call, snapshot_id: str, size: int | None) -> Source:
    snapshot = snapshots.get(session, snapshot_id, call.project)
    if snapshot.status != "available":
        raise BadRequest(f"Invalid snapshot: Originating snapshot status must be available, but is {snapshot.status}.")
    origin = volumes.get(session, snapshot.volume_id)
    return Source(
        size_gb=_fitting(size, snapshot.size_gb, "snapshot"),
        snapshot_id=snapshot.id,
        bootable=origin.bootable,
        image_metadata=origin.image_metadata,
    )


def _volume(session: Session, call: Call, volume_id: str, size: int | None) -> Source:
    origin = volumes.get(session, volume_id, call.project)
    if origin.status != "available":
        # The data of a volume that a guest writes to would be a copy of no moment.
        raise BadRequest(f"Invalid volume: the source volume's status must be available, but is {origin.status}.")
    return Source(
        size_gb=_fitting(size, origin.size_gb, "source volume"),
        volume_id=origin.id,
        bootable=origin.bootable,
        image_metadata=origin.image_metadata,
    )


def _fitting(size: int | None, least: int, what: str) -> int:
    if size is not None and size < least:
        raise BadRequest(
            f"Invalid input received: Volume size '{size}' GB cannot be smaller than the {what} size {least} GB."
        )
    return size or least
