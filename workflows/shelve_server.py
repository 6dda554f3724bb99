"""A shelve: the server is off and saved as an image, then it leaves its host.

Until its row says that it is saved, what fails leaves it as it was; from then on it only leaves its host, in a run of
its own (``OffloadServer``). A guest that is paused or suspended writes nothing, and stays so until then.
"""

from typing import Any

from temporalio import workflow
from temporalio.common import Priority

with workflow.unsafe.imports_passed_through():
    from activities import shelving
    from activities.models import Attempt
    from activities.parking import HaltGuest, ParkActivities
    from activities.records import BeginVerb, BegunVerb, EndVerb, RecordsActivities, Written
    from activities.shelving import ShelvingActivities
    from infra.domain.server import VmState
    from infra.temporal.history import History
    from infra.temporal.sealed import Sealed
    from workflows import failures, policies
    from workflows.offload_server import OffloadParams
    from workflows.saga import Saga, Stopped
    from workflows.saving import Saving
    from workflows.verb import Holding, Outcome


class ShelveParams(History):
    server_id: str
    name: str = ""
    begin: BeginVerb
    token: Sealed
    """Sealed to the server's id, field ``token``."""
    image_id: str
    fields: dict[str, Any] = {}
    """The image as the Image API takes it; empty: none is made, the server's disk is a volume."""


@workflow.defn(name="ShelveServer")
class ShelveServer(Saving, Holding):
    @workflow.init
    def __init__(self, params: ShelveParams) -> None:
        super().__init__(params.server_id)
        self.params = params
        self.token = params.token
        self.begun: BegunVerb | None = None
        self.copying = 0
        """Where the undo of the copy is, which goes in any case."""
        self.shelved = False
        self.saga = Saga(f"shelve {params.name}", params.server_id, Priority(priority_key=policies.VERB_PRIORITY))

    @workflow.run
    async def run(self, params: ShelveParams) -> Outcome:
        error = await self.guard(self.forward(), None)
        await self.shielded(self.saga.unwind(None, to=self.copying if self.shelved else 0))
        if not self.shelved:
            await self.shielded(self.finish(error))
        outcome = await self.close(error, Outcome(state="done"))
        self.hand_over()
        if self.shelved:
            offload = OffloadParams(begin=params.begin, name=params.name)
            workflow.continue_as_new(args=[offload], workflow="OffloadServer")
        return outcome

    async def forward(self) -> None:
        begun: BegunVerb = await self.saga.run(RecordsActivities.begin_verb, self.params.begin, policies.ADMISSION)
        self.begun = begun
        attempt = Attempt(server_id=self.server_id, number=begun.attempt, host=begun.host)
        if self.params.fields:
            await self.reserve(attempt, self.params.image_id, self.params.fields)
        self.answer = begun
        if begun.vm_state == VmState.ACTIVE:
            await self.halt(attempt)
        self.copying = self.saga.mark()
        if self.params.fields:
            await self.save(attempt, self.params.image_id)
        image_id = self.params.image_id if self.params.fields else ""
        saved = shelving.ShelveServer(server_id=self.server_id, op=self.params.begin.op, image_id=image_id)
        written: Written = await self.shielded(
            self.saga.persist(ShelvingActivities.shelve, saved, policies.UNDO_RECORD)
        )
        if not written.written:
            raise Stopped
        self.shelved = True

    async def halt(self, attempt: Attempt) -> None:
        """All that the guest has written is on its disk. One that can't be woken is SHUTOFF by its host's report."""
        halt = HaltGuest(attempt=attempt, copy_id=self.params.image_id)
        await self.saga.step(
            ParkActivities.halt, halt, policies.HOST_SPAWN, host=attempt.host, undo=policies.HOST_UNDO, swept=True
        )

    async def finish(self, error: BaseException | None) -> None:
        """Let go of the server, which is as it was, with the reason noted at the action.

        Also where the verb may have taken the server and the reply was lost, or is still on its way.
        """
        if error is None or (self.begun is None and not failures.is_unsure(error)):
            return
        message = self.stop_reason or failures.cause_of(error).message
        end = EndVerb(server_id=self.server_id, op=self.params.begin.op, message=message)
        await self.saga.persist(RecordsActivities.end_verb, end, policies.RECORD)
