"""A confirmation: the server keeps its new side, and nothing stays of the one that it was."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.moves import Confirmed, MoveActivities, MoveSides
    from workflows import policies
    from workflows.end_move import EndingMove, EndMoveParams
    from workflows.verb import Outcome


@workflow.defn(name="ConfirmResize")
class ConfirmResize(EndingMove):
    @workflow.init
    def __init__(self, params: EndMoveParams) -> None:
        super().__init__(params)

    @workflow.run
    async def run(self, params: EndMoveParams) -> Outcome:
        return await self.run_end()

    async def go(self, sides: MoveSides) -> None:
        """A host that is away owes the clean-up: what it still has of the old side is off."""
        await self.drop(sides, sides.kept)
        confirmed = Confirmed(server_id=self.server_id, op=self.op)
        await self.saga.persist(MoveActivities.confirm, confirmed, policies.UNDO_RECORD)
