"""A shelved server leaves its host: its guest, disk and room go, its ports and volumes stay the server's.

A host that does not answer is waited for, since its guest may have the volumes until it says that it is gone, or an
operator says that the host is off.
"""

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import DestroyGuest, HypervisorActivities
    from activities.images import FetchImage, ImageActivities
    from activities.models import NO_TOKEN, Attempt
    from activities.networks import PlugActivities, PlugPort
    from activities.records import BeginVerb, EndVerb, Held, RecordsActivities, Stuck, Written
    from activities.shelving import Offloading, ShelvingActivities
    from infra.temporal.history import History
    from workflows import failures, policies
    from workflows.saga import Saga, Stopped
    from workflows.verb import Holding, Outcome


class OffloadParams(History):
    begin: BeginVerb
    name: str = ""


@workflow.defn(name="OffloadServer")
class OffloadServer(Holding):
    @workflow.init
    def __init__(self, params: OffloadParams) -> None:
        super().__init__(params.begin.server_id)
        self.params = params
        self.op = params.begin.op
        self.saga = Saga(f"offload {params.name}", self.server_id, Priority(priority_key=policies.VERB_PRIORITY))

    @workflow.run
    async def run(self, params: OffloadParams) -> Outcome:
        error = await self.guard(self.forward(), None)
        if error is not None and (self.answer is not None or failures.is_unsure(error)):
            await self.shielded(self.let_go(error))
        outcome = await self.close(error, Outcome(state="done"))
        self.hand_over()
        return outcome

    async def forward(self) -> None:
        server: Offloading = await self.saga.run(
            ShelvingActivities.begin_offload, self.params.begin, policies.ADMISSION
        )
        self.answer = server
        attempt = Attempt(server_id=self.server_id, number=server.attempt, host=server.host)
        held = Held(server_id=self.server_id, op=self.op)
        if not await self.remove(attempt, held):
            return
        await self.leave(server, attempt)
        written: Written = await self.shielded(
            self.saga.persist(ShelvingActivities.offload, held, policies.UNDO_RECORD)
        )
        if not written.written and self.saga.stopped:
            raise Stopped

    async def remove(self, attempt: Attempt, held: Held) -> bool:
        """Returns when the host says that the guest is gone; False: an operator says that the host is off."""
        while True:
            try:
                await self.saga.run(
                    HypervisorActivities.remove, DestroyGuest(attempt=attempt), policies.HOST_UNDO, host=attempt.host
                )
            except ActivityError as error:
                if failures.is_cancel(error):
                    raise
                left: Written = await self.saga.run(ShelvingActivities.leave_off, held, policies.UNDO_RECORD)
                if left.written:
                    return False
                what = f"hypervisor.remove: {failures.cause_of(error).message}"
                stuck = Stuck(server_id=self.server_id, what=what)
                await self.saga.run(RecordsActivities.set_stuck, stuck, policies.UNDO_RECORD)
                await workflow.sleep(policies.STUCK_PAUSE)
            else:
                return True

    async def leave(self, server: Offloading, attempt: Attempt) -> None:
        """What is not its guest's; what the host can't do now it does when it is next compared."""
        try:
            for port in server.ports:
                plug = PlugPort(attempt=attempt, hostname=server.hostname, port_id=port.port_id, nic=port.nic)
                await self.saga.run(PlugActivities.unplug, plug, policies.HOST_UNDO, host=attempt.host)
            for image_id in server.images:
                release = FetchImage(attempt=attempt, image_id=image_id, **NO_TOKEN)
                await self.saga.run(ImageActivities.release, release, policies.HOST_UNDO, host=attempt.host)
        except ActivityError as error:
            if failures.is_cancel(error):
                raise
            workflow.logger.warning("What server %s had is left to host %s.", self.server_id, attempt.host)

    async def let_go(self, error: BaseException) -> None:
        """It stays shelved, and an administrator may ask for the rest."""
        message = self.stop_reason or failures.cause_of(error).message
        await self.saga.run(RecordsActivities.set_stuck, Stuck(server_id=self.server_id), policies.UNDO_RECORD)
        end = EndVerb(server_id=self.server_id, op=self.op, message=message)
        await self.saga.persist(RecordsActivities.end_verb, end, policies.RECORD)
