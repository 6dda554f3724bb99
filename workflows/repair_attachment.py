"""The repair of an attachment whose attach or detach has no run any more: the guest lets go of the volume, and it is
free. What was attached before its run was lost stays so."""

from temporalio import workflow
from temporalio.common import Priority

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import AttachDisk, HypervisorActivities
    from activities.models import Attempt
    from activities.repairs import EndAttachmentRepair, RepairActivities, TakeAttachment, TakenAttachment
    from activities.volumes import AttachedVolume
    from infra.temporal.history import History
    from workflows import policies
    from workflows.saga import Saga
    from workflows.verb import Outcome, Stoppable


class RepairAttachmentParams(History):
    attachment_id: str
    server_id: str
    volume_id: str
    op: str
    seen_op: str
    why: str = ""


@workflow.defn(name="RepairAttachment")
class RepairAttachment(Stoppable):
    @workflow.init
    def __init__(self, params: RepairAttachmentParams) -> None:
        super().__init__()
        self.params = params
        self.saga = Saga(f"volume {params.volume_id}", params.server_id, Priority(priority_key=policies.VERB_PRIORITY))

    @workflow.run
    async def run(self, params: RepairAttachmentParams) -> Outcome:
        outcome: Outcome = await self.shielded(self.repair())
        return outcome

    async def repair(self) -> Outcome:
        params = self.params
        take = TakeAttachment(
            attachment_id=params.attachment_id,
            server_id=params.server_id,
            seen_op=params.seen_op,
            op=params.op,
            why=params.why,
        )
        taken: TakenAttachment = await self.saga.persist(RepairActivities.take_attachment, take, policies.RECORD)
        if not taken.taken:
            return Outcome(state="done")
        attempt = Attempt(server_id=params.server_id, number=taken.attempt, host=taken.host)
        if not taken.whole:
            volume = AttachedVolume(volume_id=params.volume_id, attachment_id=params.attachment_id, path="", format="")
            disk = AttachDisk(attempt=attempt, attachment_id=params.attachment_id, volume=volume)
            # Also of a detach: a guest that was asked to let go may do so at any time.
            await self.saga.persist(HypervisorActivities.detach_disk, disk, policies.HOST_DETACH, host=taken.host)
        end = EndAttachmentRepair(attachment_id=params.attachment_id, attempt=attempt, op=params.op, whole=taken.whole)
        await self.saga.persist(RepairActivities.end_attachment, end, policies.RECORD)
        return Outcome(state="repaired", message=params.why)
