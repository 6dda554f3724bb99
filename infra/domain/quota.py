"""How much a project may have of what the compute service gives out. -1 means any amount."""

from pydantic import BaseModel, ConfigDict

UNLIMITED = -1


class Quota(BaseModel):
    """The limits of one project; the defaults are Nova's."""

    model_config = ConfigDict(frozen=True)

    instances: int = 10
    cores: int = 20
    ram: int = 51200
    """MiB."""
    metadata_items: int = 128
    """Per server."""
    key_pairs: int = 100
    """Per user."""
    server_groups: int = 10
    server_group_members: int = 10


class Usage(BaseModel):
    """What a project's servers hold, whatever state they are in, until they are deleted."""

    model_config = ConfigDict(frozen=True)

    instances: int = 0
    cores: int = 0
    ram: int = 0
    """MiB."""
    server_groups: int = 0
