"""The data of a volume or snapshot, brought to what its row says: made, grown or deleted.

A snapshot of a volume that a guest writes to is copied by that guest's host, and any other by a control worker.
"""

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.disk_copies import CopyVolume, DiskCopyActivities
    from activities.models import Attempt
    from activities.volume_data import DataRef, Pending, Settled, TakeIn, VolumeDataActivities
    from workflows import failures, policies
    from workflows.saga import Saga
    from workflows.verb import Outcome, Stoppable


@workflow.defn(name="VolumeWork")
class VolumeWork(Stoppable):
    """Started under the id ``volume/<id>`` by whoever wrote the row, and by the sweeper where that one died."""

    @workflow.init
    def __init__(self, params: DataRef) -> None:
        super().__init__()
        self.params = params
        self.saga = Saga(f"{params.kind} {params.id}", None)
        self.state = "done"
        self.poked = False
        self.tries = 0

    @workflow.signal(name="poke")
    def poke(self) -> None:
        """The row has changed: look again before closing."""
        self.poked = True

    @workflow.run
    async def run(self, params: DataRef) -> Outcome:
        await self.shielded(self.forward())
        return Outcome(state=self.state)

    async def forward(self) -> None:
        """Again until the row asks for nothing: a delete may have been asked for while the data was made."""
        while True:
            self.poked = False
            pending: Pending = await self.saga.persist(VolumeDataActivities.pending, self.params, policies.RECORD)
            if not pending.status:
                if self.poked:
                    continue
                return
            settled = Settled(id=pending.id, kind=pending.kind, status=pending.status)
            try:
                await self.work(pending)
                if pending.status == "uploading":
                    continue
            except ActivityError as error:
                if pending.attempt is not None and self.tries < policies.COPY_TRIES:
                    # The guest may have been moved, or have lost the volume: its row says who has it now.
                    await workflow.sleep(policies.BUSY_PAUSE)
                    continue
                self.state = "error"
                settled = settled.model_copy(update={"failure": failures.cause_of(error).message})
            await self.saga.persist(VolumeDataActivities.settle, settled, policies.RECORD)

    async def work(self, pending: Pending) -> None:
        if pending.attempt is not None:
            await self.copy_of_guest(pending, pending.attempt)
            return
        do = VolumeDataActivities.upload if pending.status == "uploading" else VolumeDataActivities.carry_out
        await self.saga.run(do, pending, policies.DATA_COPY)

    async def copy_of_guest(self, pending: Pending, attempt: Attempt) -> None:
        """The host of the guest that writes to the volume copies it; nothing of the try is left on it."""
        self.tries += 1
        copy_id = str(workflow.uuid4())
        copy = CopyVolume(attempt=attempt, device=pending.device, copy_id=copy_id, path=f"{pending.incoming}.{copy_id}")
        try:
            await self.saga.run(DiskCopyActivities.copy_volume, copy, policies.HOST_COPY, host=attempt.host)
            take = TakeIn(id=pending.id, path=copy.path)
            await self.saga.run(VolumeDataActivities.take_in, take, policies.DATA_COPY)
        finally:
            await self.drop(copy)

    async def drop(self, copy: CopyVolume) -> None:
        try:
            await self.saga.run(
                DiskCopyActivities.drop_volume_copy, copy, policies.HOST_UNDO, host=copy.attempt.host, note="undo"
            )
        except ActivityError:
            workflow.logger.warning("A copy on host %s was left to the sweeper.", copy.attempt.host)
