"""Image data between a host and the Image Service, by its REST API: into the host's cache (step 8), and from a file of
the host into an image. One activity an image.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.exceptions import CancelledError

from activities.base import step
from activities.models import Attempt
from infra.compute.attempts import Attempts
from infra.compute.guests import GuestFiles
from infra.domain.errors import BuildAborted, Conflict, DiskLost, NotFound, Unavailable
from infra.image.host_cache import HostCache
from infra.rest.client import RestClient
from infra.temporal.history import History
from infra.temporal.sealed import Sealed, Sealer


class FetchImage(History):
    attempt: Attempt
    image_id: str
    token: Sealed | None = None
    """None: the image is the services' own."""
    token_server_id: str = ""
    shared: bool = False
    """Another attempt at the server, which stays, uses it on this host too: this one's end does not release it."""
    discard: bool = False
    """Nothing will ask for it again: when it is released its data goes too."""


class FindImage(History):
    attempt: Attempt
    image_id: str
    disk_format: str
    """As the Image Service names it."""
    root: bool = False
    """Of the root disk."""


class FetchedImage(History):
    image_id: str
    path: str
    """Empty: it is not needed, the disk stands alone."""
    format: str
    virtual_size: int | None = None


class UploadImage(History):
    """``path``, a file of this host, is to become the data of an image that is queued."""

    attempt: Attempt
    image_id: str
    path: str
    token: Sealed | None = None
    """None: the image is the services' own, and is written with the worker's token alone."""
    token_server_id: str = ""


class UploadedImage(History):
    image_id: str
    size: int
    """Bytes."""


READ_BYTES = 1024 * 1024


class ImageActivities:
    def __init__(
        self, rest: RestClient, sealer: Sealer, cache: HostCache, attempts: Attempts, files: GuestFiles
    ) -> None:
        self._rest = rest
        self._sealer = sealer
        self._cache = cache
        self._attempts = attempts
        self._files = files

    @step("images.release", because="it is an undo")
    def release(self, params: FetchImage) -> None:
        """Drop this server's reference; the data stays for the next boot until it is evicted."""
        attempt = params.attempt
        with self._attempts.undoing(attempt.server_id, attempt.number, attempt.kept):
            if not params.shared:
                self._cache.release(params.image_id, attempt.server_id)
            if params.discard:
                self._cache.discard(params.image_id)

    @step("images.fetch", undo=release)
    def fetch(self, params: FetchImage) -> FetchedImage:
        """Raises BuildAborted if the image is not usable: no other host could use it either."""
        server_id, number = params.attempt.server_id, params.attempt.number
        self._attempts.check(server_id, number)
        token = self._sealer.open_if_any(params.token, server_id=params.token_server_id, field="token")
        image = self._image(params.image_id, token)
        if image["status"] != "active":
            raise BuildAborted(f"Image {params.image_id} is not active.", code=400)
        service = self._rest.blocking(self._rest.service_token())

        def stop_if_told() -> None:
            if activity.is_cancelled():
                raise CancelledError("The boot was stopped during the download.")

        def download(offset: int) -> Iterator[bytes]:
            path = f"/image/v2/images/{params.image_id}/file"
            with self._rest.stream(path, token=token or service, service_token=service, offset=offset) as chunks:
                yield from chunks

        cached = self._cache.fetch(image, server_id, download, stop_if_told)
        if self._attempts.is_closed(server_id, number):
            if not params.shared:
                with self._attempts.lock(server_id):
                    self._cache.release(params.image_id, server_id)
            self._attempts.check(server_id, number)
        return FetchedImage(
            image_id=params.image_id, path=str(cached.path), format=cached.format, virtual_size=cached.virtual_size
        )

    @step("images.find", because="the server uses the image, whether this noted it or an earlier fetch")
    def find(self, params: FindImage) -> FetchedImage:
        """The image that a server on this host was made from.

        Raises:
            DiskLost: it is not here any more, and the disk is an overlay of it.
        """
        server_id, number = params.attempt.server_id, params.attempt.number
        with self._attempts.doing(server_id, number):
            cached = self._cache.find(params.image_id, params.disk_format, server_id)
            alone = params.root and self._files.stands_alone(server_id, number)
        if cached is None and alone:
            return FetchedImage(image_id=params.image_id, path="", format="qcow2")
        if cached is None:
            raise DiskLost(f"The image {params.image_id}, which the server's disk is based on, is not on its host.")
        return FetchedImage(
            image_id=params.image_id, path=str(cached.path), format=cached.format, virtual_size=cached.virtual_size
        )

    @step("images.forget", because="the attempt that it was for has what it needs of it")
    def forget(self, params: FetchImage) -> None:
        """As ``release``, but for an attempt that lives."""
        self._cache.release(params.image_id, params.attempt.server_id)
        if params.discard:
            self._cache.discard(params.image_id)

    @step("images.upload", because="the undo of images.reserve removes the image with its data")
    def upload(self, params: UploadImage) -> UploadedImage:
        """Fill the image from the file; a repeat finds it filled.

        Raises:
            Fenced: the attempt, or the image, was closed on this host.
            NotFound: the image was deleted meanwhile, or the file is not here.
            TooLarge: the project has no room for it.
            Unavailable: the data did not get through, or an earlier try still holds the image.
        """
        token = self._sealer.open_if_any(params.token, server_id=params.token_server_id, field="token")
        image = self._image(params.image_id, token)
        if image["status"] == "queued":
            self._send(params, token)
            image = self._image(params.image_id, token)
        if image["status"] != "active":
            raise Unavailable(f"Image {params.image_id} is {image['status']}: another upload holds it.")
        return UploadedImage(image_id=params.image_id, size=image["size"])

    def _image(self, image_id: str, token: str | None) -> dict[str, Any]:
        found: dict[str, Any] = self._rest.blocking(
            self._rest.request("GET", f"/image/v2/images/{image_id}", token=token)
        )
        return found

    def _send(self, params: UploadImage, token: str | None) -> None:
        service = self._rest.blocking(self._rest.service_token())
        path, where = Path(params.path), f"/image/v2/images/{params.image_id}/file"

        def chunks() -> Iterator[bytes]:
            with path.open("rb") as file:
                while chunk := file.read(READ_BYTES):
                    self._go_on(params)
                    yield chunk

        self._go_on(params)
        try:
            self._rest.upload(where, chunks(), path.stat().st_size, token=token, service_token=service)
        except FileNotFoundError:
            raise NotFound(f"The data for image {params.image_id} is not on this host any more.") from None
        except Conflict as error:
            raise Unavailable(error.message) from error

    def _go_on(self, params: UploadImage) -> None:
        """Raises where the upload was told to stop, or what it belongs to was closed here."""
        if activity.is_cancelled():
            raise CancelledError("The upload was stopped.")
        self._attempts.check(params.attempt.server_id, params.attempt.number)
        self._attempts.check(params.image_id, 1)
