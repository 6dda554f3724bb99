"""A volume out of a running server: the guest lets go of it, then it is free for others."""

from typing import Any

from temporalio import workflow
from temporalio.common import Priority

with workflow.unsafe.imports_passed_through():
    from activities.attachments import AttachmentActivities, BeginDetach, BegunDetach, EndAttachment
    from activities.hypervisor import AttachDisk, HypervisorActivities
    from activities.models import Attempt, VolumeRef
    from activities.volumes import AttachedVolume, UseVolume, VolumeActivities
    from infra.temporal.history import History
    from infra.temporal.sealed import Sealed
    from workflows import failures, policies
    from workflows.saga import Saga
    from workflows.verb import Admissible, Outcome


class DetachParams(History):
    begin: BeginDetach
    token: Sealed


@workflow.defn(name="DetachVolume")
class DetachVolume(Admissible):
    @workflow.init
    def __init__(self, params: DetachParams) -> None:
        super().__init__()
        self.params = params
        self.saga = Saga(
            f"volume {params.begin.volume_id}", params.begin.server_id, Priority(priority_key=policies.VERB_PRIORITY)
        )
        self.released = False

    @workflow.update(name="admission")
    async def admission(self) -> Any:
        return await self.admitted()

    @workflow.run
    async def run(self, params: DetachParams) -> Outcome:
        error = await self.guard(self.forward(), None)
        if error is not None and not self.released:
            await self.shielded(self.saga.unwind(None))
        message = failures.cause_of(error).message if error is not None else None
        if self.answer is not None:
            end = EndAttachment(server_id=params.begin.server_id, request_id=params.begin.request_id, message=message)
            await self.shielded(self.saga.persist(AttachmentActivities.end, end, policies.RECORD))
        return await self.close(error, Outcome(state="done"))

    async def forward(self) -> None:
        begin = self.params.begin
        begun: BegunDetach = await self.saga.step(
            AttachmentActivities.begin_detach, begin, policies.ADMISSION, undo=policies.UNDO_RECORD
        )
        self.answer = begun
        attempt = Attempt(server_id=begin.server_id, number=begun.attempt, host=begun.host)
        volume = AttachedVolume(volume_id=begin.volume_id, attachment_id=begun.attachment_id, path="", format="")
        disk = AttachDisk(attempt=attempt, attachment_id=begun.attachment_id, volume=volume)
        await self.saga.run(HypervisorActivities.detach_disk, disk, policies.HOST_DETACH, host=begun.host)
        # The guest has let go: from here on the detach only goes forward.
        self.released = True
        ref = VolumeRef(attachment_id=begun.attachment_id, volume_id=begin.volume_id)
        use = UseVolume(attempt=attempt, token=self.params.token, token_server_id=begin.server_id, volume=ref)
        await self.shielded(self.saga.persist(VolumeActivities.detach, use, policies.REST_UNDO))
