"""A network interface to a server that is there: its port is bound with the answer to the API, then the guest gets it.

A port that Nova would make is made here too, and is deleted with the server; the user's own only comes and goes.
"""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import Priority

with workflow.unsafe.imports_passed_through():
    from activities.attachments import AttachmentActivities, EndAttachment
    from activities.hypervisor import GuestInterface, HypervisorActivities
    from activities.interfaces import BeginInterface, HeldInterface, InterfaceActivities, InterfaceOf
    from activities.networks import (
        AllocatedPort,
        AllocatePort,
        PlugActivities,
        PlugInterface,
        PlugResult,
        PortActivities,
    )
    from infra.temporal.history import History
    from infra.temporal.sealed import Sealed
    from workflows import failures, policies
    from workflows.saga import Saga
    from workflows.verb import Admissible, Outcome


class AttachInterfaceParams(History):
    begin: BeginInterface
    token: Sealed
    """Sealed to the server's id, field ``token``."""
    seconds: float = 600.0


@workflow.defn(name="AttachInterface")
class AttachInterface(Admissible):
    @workflow.init
    def __init__(self, params: AttachInterfaceParams) -> None:
        super().__init__()
        self.params = params
        self.saga = Saga(
            f"port {params.begin.port_id}", params.begin.server_id, Priority(priority_key=policies.VERB_PRIORITY)
        )

    @workflow.update(name="admission")
    async def admission(self) -> Any:
        return await self.admitted()

    @workflow.run
    async def run(self, params: AttachInterfaceParams) -> Outcome:
        error = await self.guard(self.forward(), timedelta(seconds=params.seconds))
        if error is not None:
            # No debt: paying it would take the whole guest, and that is in use.
            await self.shielded(self.saga.unwind(None))
            message = self.stop_reason or failures.cause_of(error).message
            end = EndAttachment(server_id=params.begin.server_id, request_id=params.begin.op, message=message)
            await self.shielded(self.saga.persist(AttachmentActivities.end, end, policies.RECORD))
        return await self.close(error, Outcome(state="done"))

    async def forward(self) -> None:
        begin = self.params.begin
        held: HeldInterface = await self.saga.step(
            InterfaceActivities.begin, begin, policies.ADMISSION, undo=policies.UNDO_RECORD
        )
        attempt, host = held.attempt, held.attempt.host
        allocate = AllocatePort(
            attempt=attempt,
            token=self.params.token,
            token_server_id=begin.server_id,
            port=held.port,
            attachment_id=held.attachment_id,
            project_id=held.project_id,
        )
        allocated: AllocatedPort = await self.saga.step(
            PortActivities.allocate, allocate, policies.RESERVE, undo=policies.REST_UNDO
        )
        self.answer = held
        plug = PlugInterface(
            attempt=attempt,
            hostname=held.hostname,
            port_id=begin.port_id,
            nic=allocated.nic,
            attachment_id=held.attachment_id,
        )
        plugged: PlugResult = await self.saga.step(
            PlugActivities.plug_interface, plug, policies.HOST_CALL, host=host, undo=policies.HOST_UNDO
        )
        give = GuestInterface(attempt=attempt, attachment_id=held.attachment_id, port_id=begin.port_id, nic=plugged)
        await self.saga.step(
            HypervisorActivities.attach_interface, give, policies.HOST_CALL, host=host, undo=policies.HOST_UNDO
        )
        done = InterfaceOf(server_id=begin.server_id, port_id=begin.port_id, op=begin.op)
        await self.shielded(self.saga.persist(InterfaceActivities.complete, done, policies.RECORD))
