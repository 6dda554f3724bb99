"""The door to where volumes' data is kept. qcow2 files stand behind it, and a fake.

All calls are idempotent on the volume's id; ``delete`` of what is not there is success.
"""

from collections.abc import Callable
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
        self,
        volume_id: str,
        size_gb: int,
        source: Path | None = None,
        source_format: str | None = None,
        heartbeat: Callable[[], None] | None = None,
    ) -> None:
        """Make the volume, empty or as a full copy of ``source`` (never a backing file), whole or not at all.

        A snapshot is a volume too, under its own id, made with its volume as the source.

        Args:
            source_format: as the Image Service names it; ``qcow2`` for a volume.
            heartbeat: called now and then; what it raises ends the copy.

        Raises:
            BadRequest: the source is larger than the volume, or of a format that no volume is made from.
            Fenced: the volume was deleted before.
            Unavailable: no room.
        """
        ...

    def incoming(self, volume_id: str) -> Path:
        """What the names of files begin with that hosts may write a volume's data to, for ``take_in``."""
        ...

    def take_in(self, volume_id: str, path: Path) -> None:
        """Make the volume of a whole file that a host wrote, which is gone then; a repeat finds it made.

        Raises:
            Fenced: the volume was deleted before.
            Unavailable: the file is not there.
        """
        ...

    def delete(self, volume_id: str) -> None: ...

    def extend(self, volume_id: str, size_gb: int) -> None:
        """Make it at least so large; it never shrinks."""
        ...

    def export(
        self, volume_id: str, target: Path, disk_format: str, heartbeat: Callable[[], None] | None = None
    ) -> None:
        """Copy the volume's data to a file of ``raw`` or ``qcow2``."""
        ...

    def connection(self, volume_id: str) -> Connection: ...

    def volumes(self) -> list[str]:
        """Ids of all volumes that have data here."""
        ...

    def forget(self, older_than_seconds: float) -> None:
        """Drop what is known of volumes that were deleted so long ago that no creation of them can be under way."""
        ...
