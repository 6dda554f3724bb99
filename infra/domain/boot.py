"""A boot request as the compute API understood it: checked for form, nothing looked up yet."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class NetworkRequest(BaseModel):
    """One entry of ``networks``: a port of the user's, or a network to make a port on."""

    model_config = ConfigDict(frozen=True)

    port_id: str | None = None
    network_id: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None


class BlockDeviceRequest(BaseModel):
    """One entry of ``block_device_mapping_v2``."""

    model_config = ConfigDict(frozen=True)

    source_type: str
    """volume, image, snapshot or blank."""
    destination_type: str = "volume"
    """volume or local."""
    id: str | None = None
    """Of the volume, image or snapshot."""
    boot_index: int | None = None
    size_gb: int | None = None
    delete_on_termination: bool = False
    device_name: str | None = None
    volume_type: str | None = None
    tag: str | None = None


class ServerSpec(BaseModel):
    """One boot request; several servers where ``max_count`` is above 1."""

    model_config = ConfigDict(frozen=True)

    name: str
    flavor_id: str
    image_id: str | None = None
    """None: boot from the volume with boot index 0."""
    key_name: str | None = None
    networks: tuple[NetworkRequest, ...] | None = None
    """None: ``auto``, the only network the project sees; an empty tuple: ``none``."""
    block_devices: tuple[BlockDeviceRequest, ...] = ()
    security_groups: tuple[str, ...] = ()
    """Names or ids; empty means the project's ``default``."""
    metadata: dict[str, str] = Field(default_factory=dict)
    user_data: str | None = Field(default=None, repr=False)
    """As sent: base64."""
    admin_password: str | None = Field(default=None, repr=False)
    config_drive: bool = False
    availability_zone: str | None = None
    """A zone, or for administrators ``zone:host``."""
    host: str | None = None
    """Forced host (administrators only)."""
    scheduler_hints: dict[str, Any] = Field(default_factory=dict)
    disk_config: str = "MANUAL"
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    description: str | None = None
    hostname: str | None = None
    tags: tuple[str, ...] = ()
    min_count: int = 1
    max_count: int = 1
