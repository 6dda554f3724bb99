"""A ``VolumeBackend`` in memory, for tests of what stands in front of it. It keeps sizes, no data."""

import time
from collections.abc import Callable
from pathlib import Path

from infra.domain.errors import BadRequest, Fenced, NotFound
from infra.volume.backend import Connection

GIB = 1024**3


class FakeBackend:
    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.closed: dict[str, float] = {}
        """When each was deleted."""

    def create(
        self,
        volume_id: str,
        size_gb: int,
        source: Path | None = None,
        source_format: str | None = None,
        heartbeat: Callable[[], None] | None = None,
    ) -> None:
        if volume_id in self.closed:
            raise Fenced(f"The volume {volume_id} was deleted before its data was made.")
        if source is not None and source_format not in ("qcow2", "raw", "ami", "iso"):
            raise BadRequest(f"A volume can't be made from data of the format {source_format}.")
        if source is not None and self._size(source) > size_gb * GIB:
            raise BadRequest(f"The source is larger than the volume of {size_gb} GiB.")
        self.sizes.setdefault(volume_id, size_gb)

    def _size(self, source: Path) -> int:
        if source.stem in self.sizes:
            return self.sizes[source.stem] * GIB
        return source.stat().st_size if source.exists() else 0

    def incoming(self, volume_id: str) -> Path:
        return Path("/volumes/incoming") / volume_id

    def take_in(self, volume_id: str, path: Path) -> None:
        if volume_id in self.closed:
            raise Fenced(f"The volume {volume_id} was deleted before its data was made.")
        self.sizes.setdefault(volume_id, 1)

    def delete(self, volume_id: str) -> None:
        self.closed[volume_id] = time.time()
        self.sizes.pop(volume_id, None)

    def extend(self, volume_id: str, size_gb: int) -> None:
        self.sizes[volume_id] = max(self._existing(volume_id), size_gb)

    def export(
        self, volume_id: str, target: Path, disk_format: str, heartbeat: Callable[[], None] | None = None
    ) -> None:
        if disk_format not in ("raw", "qcow2"):
            raise BadRequest(f"A volume can't be copied to an image of the format {disk_format}.")
        self._existing(volume_id)
        target.write_bytes(b"volume")

    def connection(self, volume_id: str) -> Connection:
        return Connection(volume_id=volume_id, path=Path("/volumes") / f"{volume_id}.qcow2", format="qcow2")

    def volumes(self) -> list[str]:
        return sorted(self.sizes)

    def forget(self, older_than_seconds: float) -> None:
        before = time.time() - older_than_seconds
        self.closed = {volume_id: moment for volume_id, moment in self.closed.items() if moment > before}

    def _existing(self, volume_id: str) -> int:
        if volume_id not in self.sizes:
            raise NotFound(f"There is no data of volume {volume_id}.")
        return self.sizes[volume_id]
