"""The door to where volumes' data is kept. qcow2 files stand behind it, and a fake.

All calls are idempotent on the volume's id; ``delete`` of what is not there is success.
"""

from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict


class Connection(BaseModel):
    """How a host reaches a volume's data."""

    model_config = ConfigDict(frozen=True)

    volume_id: str
    path: Path
    format: str


class VolumeBackend(Protocol):
    def create(
        self, volume_id: str, size_gb: int, source: Path | None = None, source_format: str | None = None
    ) -> None:
        """Make the volume, empty or as a full copy of ``source`` (never a backing file), whole or not at all.

        Raises:
            BadRequest: the source is larger than the volume.
            Unavailable: no room.
        """
        ...

    def delete(self, volume_id: str) -> None: ...

    def extend(self, volume_id: str, size_gb: int) -> None: ...

    def connection(self, volume_id: str) -> Connection: ...

    def volumes(self) -> list[str]:
        """Ids of all volumes that have data here."""
        ...
