"""A network interface out of a server: the guest lets go of it, then its port is deleted, or free where it is the
user's own."""

from typing import Any

from temporalio import workflow
from temporalio.common import Priority

with workflow.unsafe.imports_passed_through():
    from activities.attachments import AttachmentActivities, EndAttachment
    from activities.hypervisor import GuestInterface, HypervisorActivities
    from activities.interfaces import BeginDetachInterface, HeldInterface, InterfaceActivities, InterfaceOf
    from activities.models import NO_TOKEN
    from activities.networks import AllocatePort, PlugActivities, PlugInterface, PortActivities
    from infra.temporal.history import History
    from workflows import failures, policies
    from workflows.saga import Saga
    from workflows.verb import Admissible, Outcome


class DetachInterfaceParams(History):
    begin: BeginDetachInterface


@workflow.defn(name="DetachInterface")
class DetachInterface(Admissible):
    @workflow.init
    def __init__(self, params: DetachInterfaceParams) -> None:
        super().__init__()
        self.params = params
        self.saga = Saga(
            f"port {params.begin.port_id}", params.begin.server_id, Priority(priority_key=policies.VERB_PRIORITY)
        )
        self.released = False

    @workflow.update(name="admission")
    async def admission(self) -> Any:
        return await self.admitted()

    @workflow.run
    async def run(self, params: DetachInterfaceParams) -> Outcome:
        error = await self.guard(self.forward(), None)
        if error is not None and not self.released:
            await self.shielded(self.saga.unwind(None))
            message = self.stop_reason or failures.cause_of(error).message
            end = EndAttachment(server_id=params.begin.server_id, request_id=params.begin.op, message=message)
            await self.shielded(self.saga.persist(AttachmentActivities.end, end, policies.RECORD))
        return await self.close(error, Outcome(state="done"))

    async def forward(self) -> None:
        begin = self.params.begin
        held: HeldInterface = await self.saga.step(
            InterfaceActivities.begin_detach, begin, policies.ADMISSION, undo=policies.UNDO_RECORD
        )
        self.answer = held
        await release(self.saga, held)
        # The guest has let go: from here on the detach only goes forward.
        self.released = True
        await self.shielded(give_back(self.saga, held, begin.op))


async def release(saga: Saga, held: HeldInterface, *, persist: bool = False) -> None:
    """Have the guest let go of its interface.

    Args:
        persist: it is asked until it has.
    """
    take = GuestInterface(attempt=held.attempt, attachment_id=held.attachment_id, port_id=held.port.port_id)
    run = saga.persist if persist else saga.run
    await run(HypervisorActivities.detach_interface, take, policies.HOST_DETACH, host=held.attempt.host)


async def give_back(saga: Saga, held: HeldInterface, op: str) -> None:
    """Leave nothing of an interface that the guest has let go of: on its host, at the Network Service, in the row."""
    server_id, port_id = held.attempt.server_id, held.port.port_id
    unplug = PlugInterface(
        attempt=held.attempt, hostname=held.hostname, port_id=port_id, nic={}, attachment_id=held.attachment_id
    )
    await saga.persist(PlugActivities.unplug_interface, unplug, policies.HOST_UNDO, host=held.attempt.host)
    free = AllocatePort(attempt=held.attempt, port=held.port, attachment_id=held.attachment_id, **NO_TOKEN)
    await saga.persist(PortActivities.deallocate, free, policies.REST_UNDO)
    end = InterfaceOf(server_id=server_id, port_id=port_id, op=op)
    await saga.persist(InterfaceActivities.end, end, policies.RECORD)
