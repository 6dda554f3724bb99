"""A volume to a running server: reserved with the answer to the API, then given to the guest on its host."""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import Priority

with workflow.unsafe.imports_passed_through():
    from activities.attachments import AttachmentActivities, BeginAttach, BegunAttach, EndAttachment
    from activities.hypervisor import AttachDisk, AttachedDisk, HypervisorActivities
    from activities.models import Attempt, VolumeRef
    from activities.volumes import AttachedVolume, MarkAttached, UseVolume, VolumeActivities
    from infra.temporal.history import History
    from infra.temporal.sealed import Sealed
    from workflows import failures, policies
    from workflows.saga import Saga
    from workflows.verb import Admissible, Outcome


class AttachParams(History):
    begin: BeginAttach
    token: Sealed
    """Sealed to the server's id, field ``token``."""
    seconds: float = 600.0


@workflow.defn(name="AttachVolume")
class AttachVolume(Admissible):
    @workflow.init
    def __init__(self, params: AttachParams) -> None:
        super().__init__()
        self.params = params
        self.saga = Saga(
            f"volume {params.begin.volume_id}", params.begin.server_id, Priority(priority_key=policies.VERB_PRIORITY)
        )
        self.attempt: Attempt | None = None

    @workflow.update(name="admission")
    async def admission(self) -> Any:
        return await self.admitted()

    @workflow.run
    async def run(self, params: AttachParams) -> Outcome:
        error = await self.guard(self.forward(), timedelta(seconds=params.seconds))
        if error is not None:
            # No debt: paying it would take the whole guest, and that is in use.
            await self.shielded(self.saga.unwind(None))
        message = failures.cause_of(error).message if error is not None else None
        if self.answer is not None:
            end = EndAttachment(server_id=params.begin.server_id, request_id=params.begin.request_id, message=message)
            await self.shielded(self.saga.persist(AttachmentActivities.end, end, policies.RECORD))
        return await self.close(error, Outcome(state="done"))

    async def forward(self) -> None:
        begin = self.params.begin
        begun: BegunAttach = await self.saga.step(
            AttachmentActivities.begin, begin, policies.ADMISSION, undo=policies.UNDO_RECORD
        )
        self.answer = begun
        self.attempt = attempt = Attempt(server_id=begin.server_id, number=begun.attempt, host=begun.host)
        volume = VolumeRef(attachment_id=begin.attachment_id, volume_id=begin.volume_id, device=begun.device)
        use = UseVolume(attempt=attempt, token=self.params.token, token_server_id=begin.server_id, volume=volume)
        attached: AttachedVolume = await self.saga.step(
            VolumeActivities.attach, use, policies.HOST_CALL, host=begun.host, undo=policies.REST_UNDO
        )
        disk = AttachDisk(attempt=attempt, attachment_id=begin.attachment_id, volume=attached)
        done: AttachedDisk = await self.saga.step(
            HypervisorActivities.attach_disk, disk, policies.HOST_CALL, host=begun.host, undo=policies.HOST_UNDO
        )
        mark = MarkAttached(attachment_id=begin.attachment_id, device=done.device)
        await self.saga.step(VolumeActivities.complete, mark, policies.HOST_CALL, host=begun.host)
