"""Flavors and keypairs: what a boot request names of the compute service's own catalogue."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class Flavor(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    vcpus: int
    ram_mb: int
    disk_gb: int
    """Size of the root disk in GiB; 0 takes the image's own size."""
    ephemeral_gb: int = 0
    swap_mb: int = 0
    rxtx_factor: float = 1.0
    is_public: bool = True
    disabled: bool = False
    description: str | None = None
    extra_specs: dict[str, str] = Field(default_factory=dict)


class Keypair(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: int
    user_id: str
    name: str
    type: str = "ssh"
    public_key: str
    fingerprint: str
    created_at: datetime
