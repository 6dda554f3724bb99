"""Step 8: image data into the host's cache, by the Image Service's REST API. One activity an image."""

from collections.abc import Iterator

from temporalio import activity
from temporalio.exceptions import CancelledError

from activities.base import step
from activities.models import Attempt
from infra.compute.attempts import Attempts
from infra.domain.errors import BuildAborted
from infra.image.host_cache import HostCache
from infra.rest.client import RestClient
from infra.temporal.history import History
from infra.temporal.sealed import Sealed, Sealer


class FetchImage(History):
    attempt: Attempt
    image_id: str
    token: Sealed
    token_server_id: str
    shared: bool = False
    """Another attempt at the server, which stays, uses it on this host too: this one's end does not release it."""


class FetchedImage(History):
    image_id: str
    path: str
    format: str
    virtual_size: int | None = None


class ImageActivities:
    def __init__(self, rest: RestClient, sealer: Sealer, cache: HostCache, attempts: Attempts) -> None:
        self._rest = rest
        self._sealer = sealer
        self._cache = cache
        self._attempts = attempts

    @step("images.release", because="it is an undo")
    def release(self, params: FetchImage) -> None:
        """Drop this server's reference; the data stays for the next boot until it is evicted."""
        attempt = params.attempt
        with self._attempts.undoing(attempt.server_id, attempt.number, attempt.kept):
            if not params.shared:
                self._cache.release(params.image_id, attempt.server_id)

    @step("images.fetch", undo=release)
    def fetch(self, params: FetchImage) -> FetchedImage:
        """Raises BuildAborted if the image is not usable: no other host could use it either."""
        server_id, number = params.attempt.server_id, params.attempt.number
        self._attempts.check(server_id, number)
        token = self._sealer.open(params.token, server_id=params.token_server_id, field="token")
        image = self._rest.blocking(self._rest.request("GET", f"/image/v2/images/{params.image_id}", token=token))
        if image["status"] != "active":
            raise BuildAborted(f"Image {params.image_id} is not active.", code=400)
        service = self._rest.blocking(self._rest.service_token())

        def stop_if_told() -> None:
            if activity.is_cancelled():
                raise CancelledError("The boot was stopped during the download.")

        def download(offset: int) -> Iterator[bytes]:
            path = f"/image/v2/images/{params.image_id}/file"
            with self._rest.stream(path, token=token, service_token=service, offset=offset) as chunks:
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
