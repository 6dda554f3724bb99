"""Data from a host into an image: by the real API, into a real store."""

import asyncio
import hashlib
import uuid
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import ActivityEnvironment

from activities.image_records import ImageRecordActivities, ReserveImage
from activities.images import ImageActivities, UploadedImage, UploadImage
from activities.models import Attempt
from infra.compute.attempts import Attempts
from infra.compute.guests import GuestFiles
from infra.db import images
from infra.domain.image import Image
from infra.temporal.sealed import Sealer
from tests.saga.world import Place, World, until

FIELDS = {"name": "copy", "disk_format": "raw", "container_format": "bare", "visibility": "private"}


class Host:
    """What a workflow has done on a host, and at the Image Service."""

    def __init__(self, world: World, place: Place, folder: Path) -> None:
        self.world, self.place = world, place
        self.attempts = Attempts(folder / "attempts")
        sealer = Sealer(world.settings.seal)
        self.sealed = sealer.seal(place.token, server_id=place.server_id, field="token")
        self.records = ImageRecordActivities(world.rest, sealer)
        files = GuestFiles(folder / "instances")
        self.uploads = ImageActivities(world.rest, sealer, world.hosts["h1"].cache, self.attempts, files)
        self.attempt = Attempt(server_id=place.server_id, number=1, host="h1")
        self.path = folder / "data"
        self.path.write_bytes(b"0123456789abcdef" * 300_000)
        self.image_id = str(uuid.uuid4())

    def reservation(self, **fields: Any) -> ReserveImage:
        token = None if "owner" in fields else self.sealed
        return ReserveImage(
            attempt=self.attempt,
            image_id=self.image_id,
            fields=FIELDS | fields,
            token=token,
            token_server_id=self.place.server_id,
        )

    async def upload(self, *, own: bool = False) -> UploadedImage:
        params = UploadImage(
            attempt=self.attempt,
            image_id=self.image_id,
            path=str(self.path),
            token=None if own else self.sealed,
            token_server_id=self.place.server_id,
        )
        found: UploadedImage = await asyncio.to_thread(ActivityEnvironment().run, self.uploads.upload, params)
        return found

    def image(self) -> Image:
        return self.world.db.read_now(images.get, self.image_id, None, everything=True)


@pytest.fixture
async def host(cloud: World, tmp_path: Path) -> Host:
    return Host(cloud, await cloud.place(), tmp_path)


async def test_a_file_of_a_host_becomes_an_image_and_a_repeat_finds_it(host: Host) -> None:
    for _ in range(2):
        await host.records.reserve(host.reservation())
    sizes = {(await host.upload()).size for _ in range(2)}
    image = host.image()
    assert sizes == {image.size} == {host.path.stat().st_size}
    assert (image.status, image.owner) == ("active", host.place.project_id)
    assert image.hash_value == hashlib.sha512(host.path.read_bytes()).hexdigest()
    await host.records.withdraw(host.reservation())
    assert host.image_id not in await host.world.images.images()
    # The image's record and its data come too late by now.
    with pytest.raises(ApplicationError) as refused:
        await host.records.reserve(host.reservation())
    assert refused.value.type == "Conflict"
    with pytest.raises(ApplicationError) as refused:
        await host.upload()
    assert refused.value.type == "NotFound"


async def test_services_have_images_of_their_own(host: Host) -> None:
    """Hidden, for whom they are asked, and written without any user's token."""
    await host.records.reserve(host.reservation(owner=host.place.project_id, os_hidden=True))
    await host.upload(own=True)
    image = host.image()
    assert (image.status, image.owner, image.hidden) == ("active", host.place.project_id, True)
    await host.records.withdraw(host.reservation())


@pytest.mark.parametrize("closed", ["attempt", "image"])
async def test_what_is_closed_on_the_host_is_not_sent(host: Host, closed: str) -> None:
    await host.records.reserve(host.reservation())
    host.attempts.close(*((host.place.server_id, 1) if closed == "attempt" else (host.image_id, 1)))
    with pytest.raises(ApplicationError) as refused:
        await host.upload()
    assert refused.value.type == "Fenced"
    assert host.image().status == "queued"


async def test_an_upload_that_is_stopped_keeps_nobody_from_the_next(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    await host.records.reserve(host.reservation())
    calls: list[UploadImage] = []

    def stopped(self: ImageActivities, params: UploadImage) -> None:
        calls.append(params)
        if len(calls) == 4:
            raise CancelledError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(ImageActivities, "_go_on", stopped)
        with pytest.raises(CancelledError):
            await host.upload()

    async def sent() -> bool:
        try:
            await host.upload()
        except ApplicationError as error:
            if error.type != "Unavailable":
                raise
            return False
        return True

    await until(sent, 30, lambda: "the image stayed held")
    assert host.image().status == "active"
