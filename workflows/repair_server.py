"""The repair of a server that a request holds although its run is over: terminated by an operator, failed, or lost.

A boot and a move are undone to their end, a delete and the end of a move go on, and after any other verb the row says
what the host sees. A delete may come at any time.
"""

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities import repairs
    from activities.hypervisor import HypervisorActivities, ReadState, SeenState
    from activities.image_records import ImageRecordActivities, ReserveImage
    from activities.images import FetchImage, ImageActivities
    from activities.models import NO_TOKEN, Attempt
    from activities.moves import BeginEnd, EndMove, MoveActivities
    from activities.parking import ParkActivities, ParkGuest
    from activities.records import BeginVerb, EndVerb, OweCleanup, RecordsActivities, SetError
    from activities.repairs import RepairActivities, TakenServer, TakeServer
    from activities.scheduling import ClaimHost, SchedulingActivities, ServerRef
    from activities.upkeep import PayDebt, UpkeepActivities
    from infra.domain.move import travelling
    from infra.domain.server import TaskState, Verb, VmState
    from infra.domain.sighting import seen
    from infra.temporal import attributes
    from infra.temporal.history import History
    from workflows import policies
    from workflows.end_move import EndMoveParams
    from workflows.offload_server import OffloadParams
    from workflows.saga import Saga
    from workflows.verb import Deletable, DeleteRequest, Outcome


_ENDS = {
    Verb.CONFIRM_RESIZE: "ConfirmResize",
    Verb.REVERT_RESIZE: "RevertResize",
    Verb.UNRESCUE: "UnrescueServer",
    Verb.SHELVE_OFFLOAD: "OffloadServer",
}


class RepairParams(History):
    server_id: str
    op: str
    """The repair's own request id."""
    seen_op: str | None = None
    """Request id of the lost run, as the sweeper saw it."""
    why: str = ""
    """What became of the run, one sentence for the user."""


@workflow.defn(name="RepairServer")
class RepairServer(Deletable):
    @workflow.init
    def __init__(self, params: RepairParams) -> None:
        super().__init__(params.server_id)
        self.params = params
        self.goes_on: EndMoveParams | OffloadParams | None = None
        self.saga = Saga(params.server_id, params.server_id, Priority(priority_key=policies.VERB_PRIORITY))

    @workflow.run
    async def run(self, params: RepairParams) -> Outcome:
        # Shielded as a whole: it only ever makes things true, and each part of it ends by itself.
        outcome: Outcome = await self.shielded(self.repair())
        await workflow.wait_condition(workflow.all_handlers_finished)
        self.hand_over()
        if self.goes_on is not None:
            workflow.continue_as_new(args=[self.goes_on], workflow=_ENDS[Verb(self.goes_on.begin.verb)])
        return outcome

    async def repair(self) -> Outcome:
        params = self.params
        take = TakeServer(server_id=self.server_id, seen_op=params.seen_op, op=params.op, why=params.why)
        taken: TakenServer = await self.saga.persist(RepairActivities.take_server, take, policies.RECORD)
        match taken.kind:
            case repairs.BOOT:
                await self.undo_boot(taken)
            case repairs.VERB:
                await self.let_go(taken)
            case repairs.MOVE:
                await self.undo_move(taken)
            case repairs.END:
                begin = {
                    "server_id": self.server_id,
                    "op": params.op,
                    "verb": taken.verb,
                    "user_id": taken.user_id,
                }
                offloads = taken.verb == Verb.SHELVE_OFFLOAD
                self.goes_on = (
                    OffloadParams(begin=BeginVerb(**begin)) if offloads else EndMoveParams(begin=BeginEnd(**begin))
                )
            case repairs.DELETE:
                request = DeleteRequest(request_id=taken.op, user_id=taken.user_id)
                self.delete_request = self.delete_request or request
            case _:
                return Outcome(state="done")
        return Outcome(state="repaired", message=params.why)

    async def undo_boot(self, taken: TakenServer) -> None:
        """What it had done on a host is a debt of that host, which is asked to pay it now."""
        if taken.host:
            await self.clean_up(Attempt(server_id=self.server_id, number=taken.attempt, host=taken.host))
        await self.saga.persist(
            SchedulingActivities.release_all, ServerRef(server_id=self.server_id), policies.UNDO_RECORD
        )
        error = SetError(server_id=self.server_id, op=self.params.op, code=500, message=self.params.why)
        await self.saga.persist(RecordsActivities.set_error, error, policies.UNDO_RECORD)
        workflow.upsert_search_attributes([attributes.PHASE.value_set("error")])

    async def undo_move(self, taken: TakenServer) -> None:
        """The guest that stayed comes back where nothing that was made elsewhere may still run."""
        assert taken.moving is not None
        back = True
        for attempt in taken.elsewhere:
            if attempt.host != taken.host:
                back = await self.clean_up(attempt) and back
                travelled = ReserveImage(
                    attempt=attempt, image_id=travelling(self.server_id, attempt.number), fields={}
                )
                await self.saga.persist(ImageRecordActivities.withdraw, travelled, policies.REST_UNDO)
        if not taken.host:
            # It was on no host, and is shelved as before.
            back = True
        elif not await self.bring_back(taken, taken.moving, start=taken.ran and back):
            back = False
        end = EndMove(server_id=self.server_id, op=self.params.op, message=self.params.why, failed=not back)
        await self.saga.persist(MoveActivities.abandon, end, policies.UNDO_RECORD)

    async def bring_back(self, taken: TakenServer, moving: Attempt, *, start: bool) -> bool:
        """The guest that stayed, and nothing of another one on its host; False: its host owes that."""
        unpark = ParkGuest(attempt=moving, start=start)
        try:
            await self.saga.run(ParkActivities.unpark, unpark, policies.HOST_UNDO, host=taken.host)
            for image_id in taken.new_images:
                release = FetchImage(attempt=moving, image_id=image_id, **NO_TOKEN)
                await self.saga.run(ImageActivities.release, release, policies.HOST_UNDO, host=taken.host)
        except ActivityError:
            await self.owe(moving)
            return False
        for attempt in taken.elsewhere:
            if attempt.host == taken.host:
                claim = ClaimHost(server_id=self.server_id, op=self.params.op, attempt=attempt.number)
                await self.saga.persist(SchedulingActivities.release_claim, claim, policies.UNDO_RECORD)
        return True

    async def clean_up(self, attempt: Attempt) -> bool:
        """What was done on a host is a debt of that host, which is asked to pay it now; False: it has not paid."""
        await self.owe(attempt)
        try:
            await self.saga.run(UpkeepActivities.pay, PayDebt(attempt=attempt), policies.HOST_UNDO, host=attempt.host)
        except ActivityError:
            workflow.logger.warning("Host %s owes the clean-up of server %s.", attempt.host, self.server_id)
            return False
        return True

    async def owe(self, attempt: Attempt) -> None:
        debt = OweCleanup(host=attempt.host, server_id=self.server_id, attempt=attempt.number, what=self.params.why)
        await self.saga.persist(RecordsActivities.owe_cleanup, debt, policies.UNDO_RECORD)

    async def let_go(self, taken: TakenServer) -> None:
        """With the state that the host sees; where it can't say, as it was: its next report corrects that."""
        end = EndVerb(server_id=self.server_id, op=self.params.op)
        try:
            found: SeenState = await self.saga.run(
                HypervisorActivities.read_state,
                ReadState(server_id=self.server_id),
                policies.HOST_UNDO,
                host=taken.host,
            )
        except ActivityError:
            workflow.logger.warning("Host %s does not say what server %s does.", taken.host, self.server_id)
        else:
            task = TaskState(taken.task_state) if taken.task_state else None
            state = seen(VmState(taken.vm_state), task, found.power_state)
            end = end.model_copy(update={"vm_state": state, "power_state": found.power_state})
        await self.saga.persist(RecordsActivities.end_verb, end, policies.RECORD)
