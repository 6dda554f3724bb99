"""Block devices that an image describes (``block_device_mapping`` in its properties), both ways. Pure.

Such an image has no data: a server that is booted from it gets volumes, made from the snapshots that it names. The form
is Nova's, which writes it for ``createImage`` of a server on volumes; users may write their own.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from infra.domain.boot import BlockDeviceRequest
from infra.domain.errors import BadRequest
from infra.domain.image import Image

MAPPING = "block_device_mapping"
MOST = 25
"""Disks that a guest has names for."""
_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\z"
_Id = Annotated[str, Field(pattern=_UUID)]


class _Device(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    source_type: Literal["snapshot", "volume", "image", "blank"]
    destination_type: Literal["volume"]
    snapshot_id: _Id | None = None
    volume_id: _Id | None = None
    image_id: _Id | None = None
    boot_index: Annotated[int, Field(ge=-1, le=255)] | None = None
    volume_size: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    delete_on_termination: bool = False
    device_name: Annotated[str, Field(max_length=255, pattern=r"^[a-zA-Z0-9._/\-]*\z")] | None = None
    no_device: bool | None = None

    def request(self) -> BlockDeviceRequest:
        ids = {"snapshot": self.snapshot_id, "volume": self.volume_id, "image": self.image_id}
        return BlockDeviceRequest(
            source_type=self.source_type,
            id=ids.get(self.source_type),
            boot_index=self.boot_index,
            size_gb=self.volume_size,
            delete_on_termination=self.delete_on_termination,
            device_name=self.device_name,
        )


_DEVICES = TypeAdapter(Annotated[list[_Device], Field(max_length=MOST)])


def has_devices(image: Image) -> bool:
    return MAPPING in image.properties


def devices_of(image: Image) -> tuple[BlockDeviceRequest, ...]:
    """The devices that a server gets by its image alone.

    Raises:
        BadRequest: the description is of another form.
    """
    text = image.properties.get(MAPPING)
    if text is None:
        return ()
    try:
        found = _DEVICES.validate_json(text) if isinstance(text, str) else _DEVICES.validate_python(text)
    except ValidationError:
        raise BadRequest(f"Image {image.id} is unacceptable: its block_device_mapping can't be read.") from None
    requests = tuple(device.request() for device in found if not device.no_device)
    if any(request.id is None and request.source_type != "blank" for request in requests):
        raise BadRequest(f"Image {image.id} is unacceptable: its block_device_mapping names no source.")
    return requests


def merged(of_image: Sequence[BlockDeviceRequest], asked: Sequence[BlockDeviceRequest]) -> list[BlockDeviceRequest]:
    """What the request asks for takes the place of what the image has under the same name."""
    named = {device.device_name for device in asked if device.device_name}
    return [*(device for device in of_image if device.device_name not in named), *asked]


def described(
    snapshot_id: str, *, size_gb: int, boot_index: int | None, device: str | None, delete_on_termination: bool
) -> dict[str, Any]:
    """One device of an image, for ``text``."""
    return {
        "source_type": "snapshot",
        "destination_type": "volume",
        "snapshot_id": snapshot_id,
        "volume_id": None,
        "image_id": None,
        "volume_size": size_gb,
        "volume_type": None,
        "boot_index": boot_index,
        "delete_on_termination": delete_on_termination,
        "device_name": device,
        "device_type": "disk",
        "disk_bus": "virtio",
        "guest_format": None,
        "no_device": None,
        "tag": None,
    }


def text(devices: Sequence[dict[str, Any]]) -> str:
    """Properties of images are texts."""
    return json.dumps(list(devices))
