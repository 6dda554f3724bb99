"""Snapshots that a run has the Volume Service make of a server's volumes: REST calls, for which no host is needed."""

from activities.base import step
from activities.models import Attempt
from infra.domain.errors import Conflict, NotFound, Unavailable
from infra.domain.keys import snapshot_key
from infra.rest.client import RestClient
from infra.temporal.history import History
from infra.temporal.sealed import Sealed, Sealer


class ReserveSnapshot(History):
    attempt: Attempt
    snapshot_id: str
    volume_id: str
    name: str = ""
    token: Sealed
    token_server_id: str

    @property
    def key(self) -> str:
        return snapshot_key(self.attempt.server_id, self.attempt.number, self.snapshot_id)


class SnapshotActivities:
    def __init__(self, rest: RestClient, sealer: Sealer) -> None:
        self._rest = rest
        self._sealer = sealer

    @step("snapshots.withdraw", because="it is an undo")
    async def withdraw(self, params: ReserveSnapshot) -> None:
        """Delete the snapshot with its data; its key is buried, so that a late creation is refused."""
        try:
            await self._rest.request("DELETE", f"/volume/v3/snapshots/{params.snapshot_id}", key=params.key)
        except NotFound:
            return

    @step("snapshots.reserve", undo=withdraw)
    async def reserve(self, params: ReserveSnapshot) -> None:
        """Ask for the snapshot; it has no data yet when this returns. Raises as the Volume API refuses."""
        token = self._sealer.open(params.token, server_id=params.token_server_id, field="token")
        body = {"id": params.snapshot_id, "volume_id": params.volume_id, "name": params.name, "force": True}
        await self._rest.request("POST", "/volume/v3/snapshots", token=token, key=params.key, json={"snapshot": body})

    @step("snapshots.await_available", because="it reads")
    async def await_available(self, params: ReserveSnapshot) -> None:
        """Raises Unavailable while it is being made: the engine asks again. Conflict: it could not be made."""
        answer = await self._rest.request("GET", f"/volume/v3/snapshots/{params.snapshot_id}")
        status = answer["snapshot"]["status"]
        if status == "creating":
            raise Unavailable(f"Snapshot {params.snapshot_id} is not ready yet.")
        if status != "available":
            raise Conflict(f"The snapshot of volume {params.volume_id} could not be made.")
