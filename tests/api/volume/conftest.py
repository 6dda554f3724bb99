"""The volume service with real files; what runs in Temporal elsewhere is done on the spot."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.volume_data import DataRef, Pending, Settled, VolumeDataActivities
from api import start_volume
from api.deps import Services
from api.volume.routes import build
from infra.domain.errors import Unavailable
from infra.image.file_store import FileStore
from infra.settings import ImageSettings, Settings, VolumeSettings
from infra.volume.qcow2 import Qcow2Backend
from infra.volume.upload import upload
from tests.api.image.harness import Prefixed, World, make_services


class Worker:
    """Does at once what ``VolumeWork`` does; ``away`` is a Temporal that doesn't answer, ``paused`` a busy worker."""

    def __init__(self) -> None:
        self.away = False
        self.paused = False

    async def work_on_volume(self, services: Services, volume_id: str, kind: str = "volume") -> None:
        if self.away:
            raise Unavailable("The workflow service does not answer.")
        if not self.paused:
            await self.carry_out(services, volume_id, kind)

    async def carry_out(self, services: Services, volume_id: str, kind: str = "volume") -> None:
        assert isinstance(services.images, FileStore)
        data = VolumeDataActivities(services.db, services.volumes, services.images, services.settings)
        pending: Pending = await data.pending(DataRef(id=volume_id, kind=kind))
        if not pending.status:
            return
        if pending.status == "uploading":
            state = services.settings.state
            await upload(
                services.db, services.volumes, services.images, volume_id, scratch=state, image_quota={"bytes": -1}
            )
            return
        if pending.status == "deleting":
            await asyncio.to_thread(data.carry_out, pending)
        else:
            await asyncio.to_thread(_carry_out, services, pending)
        await data.settle(Settled(id=volume_id, kind=kind, status=pending.status))


def _carry_out(services: Services, pending: Pending) -> None:
    if pending.status == "extending":
        services.volumes.extend(pending.id, pending.size_gb)
    else:
        source = None
        if pending.source == "image":
            source = services.images.data_path(str(pending.source_id))
        elif pending.source is not None:
            source = services.volumes.connection(str(pending.source_id)).path
        services.volumes.create(pending.id, pending.size_gb, source, pending.source_format)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    found = Worker()
    monkeypatch.setattr(start_volume, "work_on", found.work_on_volume)
    return found


@pytest.fixture
def world(tmp_path: Path, worker: Worker) -> Iterator[World]:
    settings = Settings(
        state_dir=tmp_path,
        image=ImageSettings(max_bytes=10_000_000),
        volume=VolumeSettings(project_quota_volumes=5, project_quota_gigabytes=20, project_quota_snapshots=2),
    )
    services = make_services(tmp_path, settings, Qcow2Backend(tmp_path / "volumes"))
    yield World(services, Prefixed("volume", build(services)), "volume")
    services.db.close()
