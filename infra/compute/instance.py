"""What a guest is made of, as its host is told: the server, and where its images, ports and volumes are."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infra.domain.network import Nic
from infra.domain.numa import GuestCell


class InstanceSpec(BaseModel):
    """What of the server's description its guest is made of."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    server_id: str
    attempt: int
    name: str
    hostname: str
    project_id: str
    user_id: str
    flavor_name: str
    vcpus: int
    memory_mb: int
    disk_gb: int
    image_id: str | None = None
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    key_name: str | None = None
    public_key: str | None = None
    key_type: str = "ssh"
    """``ssh`` or ``x509``."""
    metadata: dict[str, str] = {}
    config_drive: bool = False
    availability_zone: str | None = None
    launch_index: int = 0
    numa: tuple[GuestCell, ...] = ()
    pci: tuple[str, ...] = ()
    rescues: int | None = None
    """The attempt whose disk it is to mend, on this host."""


class BootSource(BaseModel):
    """An image in this host's cache."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: Path
    format: str


class NicPlace(BaseModel):
    """A port as it was plugged here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    bridge: str
    tap: str
    nic: Nic


class VolumePlace(BaseModel):
    """A volume as it can be reached here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    volume_id: str
    path: Path
    format: str
    boot_index: int | None = None
    device: str | None = None
