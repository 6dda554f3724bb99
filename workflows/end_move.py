"""What a confirmation, a revert and the end of a rescue share: one side of a move goes, the other is the server."""

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import DestroyGuest, HypervisorActivities
    from activities.images import FetchImage, ImageActivities
    from activities.models import NO_TOKEN, Attempt
    from activities.moves import BeginEnd, MoveActivities, MoveSides
    from activities.networks import PlugActivities, PlugPort
    from activities.records import OweCleanup, RecordsActivities
    from activities.scheduling import ClaimHost, SchedulingActivities
    from infra.temporal.history import History
    from workflows import failures, policies
    from workflows.saga import Saga
    from workflows.verb import Holding, Outcome


class EndMoveParams(History):
    begin: BeginEnd
    name: str = ""


class EndingMove(Holding):
    """Base of them; subclasses say in ``go`` what goes and what stays. Where that fails the server waits as before."""

    def __init__(self, params: EndMoveParams) -> None:
        super().__init__(params.begin.server_id)
        self.params = params
        self.op = params.begin.op
        self.saga = Saga(
            f"{params.begin.verb} {params.name}", self.server_id, Priority(priority_key=policies.VERB_PRIORITY)
        )

    async def run_end(self) -> Outcome:
        # Shielded as a whole: once it has begun there is no way back, and each part of it ends by itself.
        error: BaseException | None = None
        try:
            await self.shielded(self.forward())
        except ActivityError as failed:
            error = failed
            if self.answer is not None or failures.is_unsure(failed):
                await self.shielded(self.withdraw(failed))
        outcome = await self.close(error, Outcome(state="done"))
        self.hand_over()
        return outcome

    async def forward(self) -> None:
        sides: MoveSides = await self.saga.run(MoveActivities.begin_end, self.params.begin, policies.ADMISSION)
        self.answer = sides
        await self.go(sides)

    async def go(self, sides: MoveSides) -> None:
        raise NotImplementedError

    async def withdraw(self, error: ActivityError) -> None:
        """It has taken the server and failed, or may have taken it and nobody was told."""
        message = failures.cause_of(error).message if self.answer is not None else ""
        begin = self.params.begin.model_copy(update={"message": message})
        await self.saga.persist(MoveActivities.withdraw_end, begin, policies.UNDO_RECORD)

    async def drop(self, sides: MoveSides, attempt: Attempt) -> str | None:
        """Leave nothing of one side on its host, and give its room back; returns why that is left to its host."""
        try:
            await self.saga.run(
                HypervisorActivities.remove, DestroyGuest(attempt=attempt), policies.HOST_UNDO, host=attempt.host
            )
            if sides.kept.host != sides.new.host:
                await self.leave(sides, attempt)
        except ActivityError as error:
            why = failures.cause_of(error).message
            debt = OweCleanup(host=attempt.host, server_id=self.server_id, attempt=attempt.number, what=why)
            await self.saga.persist(RecordsActivities.owe_cleanup, debt, policies.UNDO_RECORD)
            return why
        claim = ClaimHost(server_id=self.server_id, op=self.op, attempt=attempt.number)
        await self.saga.persist(SchedulingActivities.release_claim, claim, policies.UNDO_RECORD)
        return None

    async def leave(self, sides: MoveSides, attempt: Attempt) -> None:
        """What the server had on a host that it is not on any more."""
        for port in sides.ports:
            plug = PlugPort(attempt=attempt, hostname=sides.hostname, port_id=port.port_id, nic=port.nic)
            await self.saga.run(PlugActivities.unplug, plug, policies.HOST_UNDO, host=attempt.host)
        for image_id in sides.images:
            release = FetchImage(attempt=attempt, image_id=image_id, **NO_TOKEN)
            await self.saga.run(ImageActivities.release, release, policies.HOST_UNDO, host=attempt.host)
