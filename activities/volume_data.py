"""What is done to the data of volumes and snapshots. The row says what; the work is taken up from the row alone.

A verb of the Volume Service first writes the row (``creating``, ``extending``, ``deleting``, ...), in one transaction
with quota; the data follows. Nothing here is undone: the work converges, or the row says that it failed.
"""

import asyncio
from pathlib import Path

from sqlmodel import Session
from temporalio import activity
from temporalio.exceptions import CancelledError

from activities.base import step
from activities.models import Attempt
from infra.db import snapshots, volumes
from infra.db.engine import Database
from infra.domain.errors import BadRequest, NotFound
from infra.image.store import ImageStore
from infra.settings import Settings
from infra.temporal.history import History
from infra.volume.backend import VolumeBackend
from infra.volume.upload import upload

VOLUME = "volume"
SNAPSHOT = "snapshot"


class DataRef(History):
    id: str
    kind: str = VOLUME


class Pending(History):
    """What has to be done; ``status`` empty: nothing any more."""

    id: str
    kind: str = VOLUME
    status: str = ""
    size_gb: int = 0
    source: str | None = None
    source_id: str | None = None
    source_format: str | None = None
    snapshots: tuple[str, ...] = ()
    attempt: Attempt | None = None
    """Of the guest that has the volume of a snapshot, which its host has to copy; None: nobody writes to it."""
    device: str = ""
    """In that guest."""
    incoming: str = ""
    """What the name of the file begins with that the host writes."""


class TakeIn(History):
    id: str
    path: str


class Settled(History):
    id: str
    kind: str = VOLUME
    status: str
    failure: str | None = None


class VolumeDataActivities:
    def __init__(self, db: Database, backend: VolumeBackend, images: ImageStore, settings: Settings) -> None:
        self._settings = settings
        self._db = db
        self._backend = backend
        self._images = images

    @step("volume_data.pending", because="it reads")
    async def pending(self, params: DataRef) -> Pending:
        read = volumes.work if params.kind == VOLUME else snapshots.work
        work = await self._db.read(read, params.id)
        if work is None:
            return Pending(id=params.id, kind=params.kind)
        found = Pending(
            id=params.id,
            kind=params.kind,
            status=work.status,
            size_gb=work.size_gb,
            source=work.source,
            source_id=work.source_id,
            source_format=work.source_format,
            snapshots=work.snapshots,
        )
        writer = None
        if params.kind == SNAPSHOT and work.status == "creating":
            writer = await self._db.read(snapshots.writer, params.id)
        if writer is None:
            return found
        attempt = Attempt(server_id=writer.server_id, number=writer.attempt, host=writer.host)
        incoming = str(self._backend.incoming(params.id))
        return found.model_copy(update={"attempt": attempt, "device": writer.device, "incoming": incoming})

    @step("volume_data.take_in", because="it converges on what the row says, and the row says if it failed")
    def take_in(self, params: TakeIn) -> None:
        """What a host copied is the snapshot's data."""
        self._backend.take_in(params.id, Path(params.path))

    @step("volume_data.carry_out", because="it converges on what the row says, and the row says if it failed")
    def carry_out(self, params: Pending) -> None:
        """Create, extend or delete the data.

        Raises:
            BadRequest: it can't be done, however often it is tried.
            Unavailable: it may be done another time.
        """
        if params.status == "deleting":
            for data in (*params.snapshots, params.id):
                self._backend.delete(data)
        elif params.status == "extending":
            self._backend.extend(params.id, params.size_gb)
        elif params.status == "creating":
            self._backend.create(params.id, params.size_gb, self._source(params), params.source_format, _stop_if_told)
        else:
            raise BadRequest(f"A volume that is {params.status} can't be worked on by this version.")

    def _source(self, params: Pending) -> Path | None:
        if params.source is None or params.source_id is None:
            return None
        if params.source == "image":
            path = asyncio.run(self._images.path(params.source_id))
            if path is None:
                raise BadRequest(f"Image {params.source_id} has no data any more.")
            return Path(path)
        return self._backend.connection(params.source_id).path

    @step("volume_data.upload", because="it converges on what the row says, and the row says if it failed")
    async def upload(self, params: Pending) -> None:
        """Copy the volume to the image that its row names, and make it available again."""
        await upload(
            self._db,
            self._backend,
            self._images,
            params.id,
            scratch=self._settings.volume_directory / "scratch",
            image_quota={"bytes": self._settings.image.project_quota_bytes},
        )

    @step("volume_data.settle", because="it says what is so")
    async def settle(self, params: Settled) -> None:
        await self._db.write(_settle, params)


def _stop_if_told() -> None:
    if activity.is_cancelled():
        raise CancelledError("The work on the volume was stopped.")


def _settle(session: Session, params: Settled) -> None:
    rows = volumes if params.kind == VOLUME else snapshots
    try:
        if params.failure is not None and params.kind == VOLUME:
            volumes.set_error(session, params.id, params.failure)
        elif params.failure is not None:
            snapshots.set_error(session, params.id)
        elif params.status == "deleting":
            rows.delete(session, params.id)
        else:
            rows.set_available(session, params.id)
    except NotFound:
        # Deleted meanwhile, by force: whoever deleted it also removed the data, or is about to.
        return
