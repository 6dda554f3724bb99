"""``block_device_mapping`` and ``block_device_mapping_v2`` of a boot request.

Source: Compute API reference, "Create server".
"""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from api.compute.wire import Boolean, Integer, Name, Tag, Uuid, Versions, Wire
from infra.domain.boot import BlockDeviceRequest
from infra.domain.errors import BadRequest

DeviceName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9._/\-]*\z")]
SizeGb = Annotated[Integer, Field(ge=1, le=2**31 - 1)]


class BlockDeviceV2(Wire):
    source_type: Literal["volume", "image", "snapshot", "blank"]
    destination_type: Literal["volume", "local"] | None = None
    uuid: Uuid | Literal[""] | None = None
    volume_size: SizeGb | Literal[""] | None = None
    boot_index: Annotated[Integer, Field(ge=-1, le=255)] | None = None
    delete_on_termination: Boolean = False
    device_name: DeviceName | None = None
    device_type: Annotated[str, Field(max_length=255, pattern=r"^[a-z_]*\z")] | None = None
    disk_bus: Annotated[str, Field(max_length=255, pattern=r"^[a-z_]*\z")] | None = None
    guest_format: Annotated[str, Field(max_length=255, pattern=r"^[a-zA-Z0-9_]*\z")] | None = None
    no_device: Boolean | Literal[""] | None = None
    tag: Annotated[Tag | None, Versions(42)] = None
    volume_type: Annotated[Name | None, Versions(67)] = None

    @field_validator("boot_index", "volume_size", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        # Older clients write "none" or an empty string for what they do not want to say.
        return None if isinstance(value, str) and value.lower() in ("none", "") else value


class BlockDeviceV1(Wire):
    """The older form, which knows volumes and snapshots only."""

    device_name: DeviceName | None = None
    volume_id: Uuid | None = None
    snapshot_id: Uuid | None = None
    volume_size: SizeGb | Literal[""] | None = None
    delete_on_termination: Boolean = False
    no_device: Boolean | Literal[""] | None = None
    virtual_name: Name | None = None


def from_v1(entries: list[BlockDeviceV1]) -> tuple[BlockDeviceRequest, ...]:
    """The old form as requests; the first device boots unless the server has an image."""
    requests = []
    for entry in entries:
        if (entry.volume_id is None) == (entry.snapshot_id is None):
            raise _invalid("each entry needs either a volume_id or a snapshot_id")
        requests.append(
            BlockDeviceRequest(
                source_type="volume" if entry.volume_id else "snapshot",
                id=entry.volume_id or entry.snapshot_id,
                size_gb=entry.volume_size or None,
                delete_on_termination=entry.delete_on_termination,
                device_name=entry.device_name,
                boot_index=0 if entry.device_name in ("vda", "/dev/vda") else None,
            )
        )
    return tuple(requests)


def from_v2(entries: list[BlockDeviceV2], image_id: str | None) -> tuple[str | None, tuple[BlockDeviceRequest, ...]]:
    """The image that the root disk is made of (None: a volume boots), and the other devices.

    Args:
        image_id: the request's ``imageRef``.

    Raises:
        BadRequest: an entry makes no sense, or the entries do not agree on what boots.
    """
    requests = []
    local_root: str | None = None
    for entry in entries:
        destination = entry.destination_type or ("local" if entry.source_type in ("image", "blank") else "volume")
        if entry.source_type == "image" and destination == "local":
            local_root = _local_image(entry, image_id, local_root)
            continue
        requests.append(_request(entry, destination))
    root = local_root or image_id
    if any(request.boot_index == 0 for request in requests):
        if local_root is not None or (image_id is not None and not _is_root_image(requests, image_id)):
            raise _invalid("Boot sequence for the instance and image/block device mapping combination is not valid")
        root = None
    return root, tuple(requests)


def check_boot_order(image_id: str | None, devices: tuple[BlockDeviceRequest, ...]) -> None:
    """Exactly one thing boots first, and the order has no gaps.

    Raises:
        BadRequest: nothing boots, or two things claim the same place.
    """
    places = sorted(d.boot_index for d in devices if d.boot_index is not None and d.boot_index >= 0)
    if image_id is not None:
        places = sorted([0, *places])
    if not places and not devices:
        raise BadRequest("Invalid imageRef provided: a server needs an image or a bootable volume.")
    if places != list(range(len(places))) or not places:
        raise _invalid("Boot sequence for the instance and image/block device mapping combination is not valid")


def _local_image(entry: BlockDeviceV2, image_id: str | None, earlier: str | None) -> str:
    if entry.boot_index != 0 or earlier is not None:
        raise _invalid("Mapping image to local is not supported but for the one with boot index 0")
    if not entry.uuid:
        raise _invalid("an image mapping needs the image's uuid")
    if image_id is not None and image_id != entry.uuid:
        raise BadRequest("The image of imageRef and the image with boot index 0 differ.")
    return entry.uuid


def _is_root_image(requests: list[BlockDeviceRequest], image_id: str) -> bool:
    """True if the volume that boots is made from the same image that ``imageRef`` names."""
    return any(r.boot_index == 0 and r.source_type == "image" and r.id == image_id for r in requests)


def _request(entry: BlockDeviceV2, destination: str) -> BlockDeviceRequest:
    if entry.source_type == "blank":
        if destination == "local":
            raise _invalid("ephemeral and swap disks come with the flavor, not as block devices")
        if entry.uuid:
            raise _invalid("a blank device has no uuid")
    elif not entry.uuid:
        raise _invalid(f"a {entry.source_type} mapping needs a uuid")
    if destination == "local":
        raise _invalid(f"a {entry.source_type} can not be mapped to a local disk")
    if entry.source_type in ("blank", "image") and not entry.volume_size:
        raise _invalid(f"a volume made from source_type {entry.source_type} needs a volume_size above 0")
    return BlockDeviceRequest(
        source_type=entry.source_type,
        destination_type=destination,
        id=entry.uuid or None,
        boot_index=entry.boot_index,
        size_gb=entry.volume_size or None,
        delete_on_termination=entry.delete_on_termination,
        device_name=entry.device_name,
        volume_type=entry.volume_type,
        tag=entry.tag,
    )


def _invalid(why: str) -> BadRequest:
    return BadRequest(f"Block Device Mapping is Invalid: {why}.")
