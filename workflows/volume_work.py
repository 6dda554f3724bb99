"""The data of a volume or snapshot, brought to what its row says: made, grown or deleted."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.volume_data import DataRef, Pending, Settled, VolumeDataActivities
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
            pending: Pending = await self.saga.run(VolumeDataActivities.pending, self.params, policies.RECORD)
            if not pending.status:
                if self.poked:
                    continue
                return
            settled = Settled(id=pending.id, kind=pending.kind, status=pending.status)
            try:
                do = VolumeDataActivities.upload if pending.status == "uploading" else VolumeDataActivities.carry_out
                await self.saga.run(do, pending, policies.DATA_COPY)
                if pending.status == "uploading":
                    continue
            except ActivityError as error:
                self.state = "error"
                settled = settled.model_copy(update={"failure": failures.cause_of(error).message})
            await self.saga.run(VolumeDataActivities.settle, settled, policies.RECORD)
