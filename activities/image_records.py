"""Images that a run makes at the Image Service, and those it lets go of: REST calls, for which no host is needed."""

from typing import Any
from urllib.parse import urlencode

from activities.base import step
from activities.models import Attempt
from infra.db import images
from infra.domain.errors import NotFound
from infra.rest.client import RestClient
from infra.temporal.history import History
from infra.temporal.sealed import Sealed, Sealer

_MOST = 1000
"""Images that one page of the list has."""


class ReserveImage(History):
    attempt: Attempt
    image_id: str
    fields: dict[str, Any]
    """The image as the Image API takes it, without its id."""
    token: Sealed | None = None
    """None: the image is the services' own; ``fields`` names its owner."""
    token_server_id: str = ""

    @property
    def key(self) -> str:
        return images.server_key(self.attempt.server_id, self.attempt.number, self.image_id)


class FindBackups(History):
    server_id: str
    backup_type: str
    keep: int
    """How many of the latest stay."""
    token: Sealed
    token_server_id: str


class Surplus(History):
    image_ids: tuple[str, ...] = ()
    """Oldest first."""


class RemoveImage(History):
    image_id: str
    token: Sealed
    token_server_id: str


class ImageRecordActivities:
    def __init__(self, rest: RestClient, sealer: Sealer) -> None:
        self._rest = rest
        self._sealer = sealer

    @step("images.withdraw", because="it is an undo")
    async def withdraw(self, params: ReserveImage) -> None:
        """Delete the image with its data; its key is buried, so that a late creation is refused."""
        await self._rest.request("DELETE", f"/image/v2/images/{params.image_id}", key=params.key)

    @step("images.reserve", undo=withdraw)
    async def reserve(self, params: ReserveImage) -> None:
        """Make the image's record; its data follows. Raises as the Image API refuses."""
        token = self._sealer.open_if_any(params.token, server_id=params.token_server_id, field="token")
        body = {**params.fields, "id": params.image_id}
        await self._rest.request("POST", "/image/v2/images", token=token, key=params.key, json=body)

    @step("images.activate", because="the undo of images.reserve removes the image")
    def activate(self, params: ReserveImage) -> None:
        """Say that an image without data is all there is of it; a repeat finds it so."""
        token = self._sealer.open_if_any(params.token, server_id=params.token_server_id, field="token")
        where = f"/image/v2/images/{params.image_id}"
        image = self._rest.blocking(self._rest.request("GET", where, token=token))
        if image["status"] != "active":
            service = self._rest.blocking(self._rest.service_token())
            self._rest.upload(f"{where}/file", iter(()), 0, token=token, service_token=service)

    @step("images.find_backups", because="it reads")
    async def find_backups(self, params: FindBackups) -> Surplus:
        """Those backups of a server and type that are too many."""
        token = self._sealer.open(params.token, server_id=params.token_server_id, field="token")
        query = {
            "image_type": "backup",
            "instance_uuid": params.server_id,
            "backup_type": params.backup_type,
            "sort": "created_at:desc",
            "limit": _MOST,
        }
        answer = await self._rest.request("GET", f"/image/v2/images?{urlencode(query)}", token=token)
        found = [image["id"] for image in answer["images"]]
        return Surplus(image_ids=tuple(reversed(found[params.keep :])))

    @step("images.remove", because="a backup that was rotated away is not brought back")
    async def remove(self, params: RemoveImage) -> None:
        token = self._sealer.open(params.token, server_id=params.token_server_id, field="token")
        try:
            await self._rest.request("DELETE", f"/image/v2/images/{params.image_id}", token=token)
        except NotFound:
            return
