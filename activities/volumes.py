"""Step 10: volumes, by the Volume Service's REST API, and their way to the guest. One activity a volume."""

import os
from typing import Any

from activities.base import step
from activities.models import Attempt, VolumeRef
from infra.domain.errors import BadRequest, BuildAborted, HostRejected, NotFound, Unavailable
from infra.domain.keys import attachment_key
from infra.rest.client import RestClient
from infra.temporal.history import History
from infra.temporal.sealed import Sealed, Sealer


class UseVolume(History):
    attempt: Attempt
    token: Sealed
    token_server_id: str
    volume: VolumeRef

    @property
    def key(self) -> str:
        """Of the attachment in this attempt."""
        return attach_key(self.attempt, self.volume.attachment_id)


def attach_key(attempt: Attempt, attachment_id: str) -> str:
    return attachment_key(attempt.server_id, attempt.number, attachment_id)


class AttachedVolume(History):
    volume_id: str
    attachment_id: str
    path: str
    format: str
    boot_index: int | None = None
    device: str | None = None


class MarkAttached(History):
    attachment_id: str
    device: str


class VolumeActivities:
    """REST calls: they run on the host's queues, or on the control queue for a host that is gone."""

    def __init__(self, rest: RestClient, sealer: Sealer) -> None:
        self._rest = rest
        self._sealer = sealer

    def _token(self, params: UseVolume) -> str:
        return self._sealer.open(params.token, server_id=params.token_server_id, field="token")

    @step("volumes.delete", because="it is an undo")
    async def delete(self, params: UseVolume) -> None:
        """Remove a volume that was made for this server, or is to go with it; one that has snapshots stays."""
        key = f"{params.attempt.server_id}/volume/{params.volume.volume_id}"
        try:
            await self._rest.request("DELETE", f"/volume/v3/volumes/{params.volume.volume_id}", key=key)
        except (NotFound, BadRequest):
            return

    @step("volumes.create", undo=delete)
    async def create(self, params: UseVolume) -> None:
        """Ask for the volume that this boot needs made; it is not there yet when this returns."""
        volume = params.volume
        body = {
            "id": volume.volume_id,
            "size": volume.size_gb,
            "name": "",
            "imageRef": volume.image_id,
            "snapshot_id": volume.snapshot_id,
        }
        key = f"{params.attempt.server_id}/volume/{volume.volume_id}"
        await self._rest.request(
            "POST", "/volume/v3/volumes", token=self._token(params), key=key, json={"volume": body}
        )

    @step("volumes.await_available", because="it reads")
    async def await_available(self, params: UseVolume) -> None:
        """Raises Unavailable while the volume is being made: the engine asks again."""
        path = f"/volume/v3/volumes/{params.volume.volume_id}"
        volume = (await self._rest.request("GET", path, token=self._token(params)))["volume"]
        if volume["status"] == "error":
            raise BuildAborted(f"Volume {params.volume.volume_id} could not be created.")
        if volume["status"] in ("creating", "downloading"):
            raise Unavailable(f"Volume {params.volume.volume_id} is not ready yet.")

    @step("volumes.detach", because="it is an undo")
    async def detach(self, params: UseVolume) -> None:
        try:
            await self._rest.request("DELETE", f"/volume/v3/attachments/{params.volume.attachment_id}", key=params.key)
        except NotFound:
            return

    @step("volumes.attach", undo=detach)
    async def attach(self, params: UseVolume) -> AttachedVolume:
        """Reserve the volume for this server and learn how to reach its data."""
        volume = params.volume
        body = {
            "id": volume.attachment_id,
            "volume_uuid": volume.volume_id,
            "instance_uuid": params.attempt.server_id,
            "connector": {"host": params.attempt.host, "attempt": params.attempt.number},
            "mode": "rw",
        }
        if volume.device:
            body["device"] = volume.device
        answer = await self._rest.request(
            "POST",
            "/volume/v3/attachments",
            token=self._token(params),
            key=params.key,
            json={"attachment": body},
        )
        return _attached(volume, answer)

    @step("volumes.find", because="it reads")
    async def find(self, params: VolumeRef) -> AttachedVolume:
        """How to reach the data of a volume that a server has."""
        answer = await self._rest.request("GET", f"/volume/v3/attachments/{params.attachment_id}")
        return _attached(params, answer)

    @step("volumes.complete", because="detach undoes the attachment as a whole")
    async def complete(self, params: MarkAttached) -> None:
        """Tell the Volume Service that the guest has it, and as which device."""
        path = f"/volume/v3/attachments/{params.attachment_id}/action"
        await self._rest.request("POST", path, json={"os-complete": {"device": params.device}})


class ConnectActivities:
    """The host's side: with volumes as files it only proves that the data can be reached."""

    @step("volumes.connect", because="a volume in a file is reached by opening it")
    def connect(self, params: AttachedVolume) -> AttachedVolume:
        """Raises HostRejected if the volume's data can't be reached from this host."""
        if not os.access(params.path, os.R_OK | os.W_OK):
            raise HostRejected(f"Volume {params.volume_id} can't be reached from this host.")
        return params


def _attached(volume: VolumeRef, answer: dict[str, Any]) -> AttachedVolume:
    data = answer["attachment"]["connection_info"]["data"]
    return AttachedVolume(
        volume_id=volume.volume_id,
        attachment_id=volume.attachment_id,
        path=data["path"],
        format=data["format"],
        boot_index=volume.boot_index,
        device=volume.device,
    )
