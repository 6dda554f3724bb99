"""A server's disk becomes an image: reserved with the answer to the API, copied on the host, uploaded from there.

Of a server on volumes the Volume Service makes snapshots, which the image describes. The guest goes on meanwhile. What
fails takes the image with it and lets go of the server; a backup that is there stays, also where those that it replaces
can't be removed.
"""

from typing import Any

from temporalio import workflow
from temporalio.common import Priority

with workflow.unsafe.imports_passed_through():
    from activities.conductor import ConductorActivities, GetDevices, ServerVolumes
    from activities.image_records import FindBackups, ImageRecordActivities, RemoveImage, ReserveImage, Surplus
    from activities.models import Attempt
    from activities.records import BeginVerb, BegunVerb, EndVerb, RecordsActivities
    from activities.volume_snapshots import ReserveSnapshot, SnapshotActivities
    from infra.domain.image_devices import MAPPING, described, text
    from infra.temporal.history import History
    from infra.temporal.sealed import Sealed
    from workflows import failures, policies
    from workflows.saga import Saga, side_by_side
    from workflows.saving import Saving
    from workflows.verb import Holding, Outcome


class Rotation(History):
    backup_type: str
    keep: int
    """How many backups of this type the server has afterwards."""


class CreateImageParams(History):
    server_id: str
    name: str = ""
    begin: BeginVerb
    token: Sealed
    """Sealed to the server's id, field ``token``."""
    image_id: str = ""
    """Empty: none is made, old backups only go."""
    fields: dict[str, Any] = {}
    """The image as the Image API takes it."""
    rotation: Rotation | None = None
    on_volumes: bool = False
    """The image has no data: it describes snapshots of the server's volumes."""


@workflow.defn(name="CreateImage")
class CreateImage(Saving, Holding):
    @workflow.init
    def __init__(self, params: CreateImageParams) -> None:
        super().__init__(params.server_id)
        self.params = params
        self.token = params.token
        self.begun: BegunVerb | None = None
        self.copying = 0
        """Where the undo of the copy is, which goes in any case."""
        self.saved = False
        self.saga = Saga(
            f"{params.begin.verb} {params.name}", params.server_id, Priority(priority_key=policies.VERB_PRIORITY)
        )

    @workflow.run
    async def run(self, params: CreateImageParams) -> Outcome:
        error = await self.guard(self.forward(), None)
        await self.shielded(self.saga.unwind(None, to=self.copying if self.saved else 0))
        await self.shielded(self.finish(error))
        outcome = await self.close(error, Outcome(state="done"))
        self.hand_over()
        return outcome

    async def forward(self) -> None:
        begun: BegunVerb = await self.saga.run(RecordsActivities.begin_verb, self.params.begin, policies.ADMISSION)
        self.begun = begun
        attempt = Attempt(server_id=self.server_id, number=begun.attempt, host=begun.host)
        if self.params.on_volumes:
            await self.save_volumes(attempt)
        elif self.params.image_id:
            await self.reserve(attempt, self.params.image_id, self.params.fields)
            self.answer, self.copying = begun, self.saga.mark()
            await self.save(attempt, self.params.image_id)
            self.saved = True
        self.answer = begun
        if self.params.rotation is not None:
            await self.rotate(self.params.rotation)

    async def save_volumes(self, attempt: Attempt) -> None:
        devices = GetDevices(server_id=self.server_id, op=self.params.begin.op)
        found: ServerVolumes = await self.saga.step(ConductorActivities.get_volumes, devices, policies.RECORD)
        snapshots = [
            ReserveSnapshot(
                attempt=attempt,
                snapshot_id=str(workflow.uuid4()),
                volume_id=volume.volume_id,
                name=f"snapshot for {self.params.fields.get('name', '')}"[:255],
                **self.sealed_token(),
            )
            for volume in found.volumes
        ]
        for snapshot in snapshots:
            await self.saga.step(SnapshotActivities.reserve, snapshot, policies.RESERVE, undo=policies.REST_UNDO)
        mapping = [
            described(
                snapshot.snapshot_id,
                size_gb=volume.size_gb,
                boot_index=volume.boot_index,
                device=volume.device,
                delete_on_termination=volume.delete_on_termination,
            )
            for volume, snapshot in zip(found.volumes, snapshots, strict=True)
        ]
        fields = {**self.params.fields, MAPPING: text(mapping)}
        reserve = ReserveImage(attempt=attempt, image_id=self.params.image_id, fields=fields, **self.sealed_token())
        await self.saga.step(ImageRecordActivities.reserve, reserve, policies.RESERVE, undo=policies.REST_UNDO)
        self.answer, self.copying = self.begun, self.saga.mark()
        await side_by_side(
            *(
                self.saga.step(SnapshotActivities.await_available, snapshot, policies.SNAPSHOT_WAIT)
                for snapshot in snapshots
            )
        )
        await self.saga.step(ImageRecordActivities.activate, reserve, policies.SERVICE_CALL)
        self.saved = True

    async def rotate(self, rotation: Rotation) -> None:
        token = self.sealed_token()
        find = FindBackups(server_id=self.server_id, **rotation.model_dump(), **token)
        surplus: Surplus = await self.saga.step(ImageRecordActivities.find_backups, find, policies.SERVICE_CALL)
        for image_id in surplus.image_ids:
            remove = RemoveImage(image_id=image_id, **token)
            await self.saga.step(ImageRecordActivities.remove, remove, policies.SERVICE_CALL)

    async def finish(self, error: BaseException | None) -> None:
        """Let go of the server, which is as it was, with the reason of a failure noted at the action.

        Also where the verb may have taken the server and the reply was lost, or is still on its way.
        """
        if self.begun is None and (error is None or not failures.is_unsure(error)):
            return
        message = None if error is None else self.stop_reason or failures.cause_of(error).message
        end = EndVerb(server_id=self.server_id, op=self.params.begin.op, message=message)
        await self.saga.persist(RecordsActivities.end_verb, end, policies.RECORD)
