"""The end of a rescue: the guest that was set aside runs again, and nothing stays of the one it was rescued by."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.images import FetchImage, ImageActivities
    from activities.models import NO_TOKEN
    from activities.moves import MoveActivities, MoveSides, Reverted
    from activities.parking import ParkActivities, ParkGuest
    from workflows import policies
    from workflows.end_move import EndingMove, EndMoveParams
    from workflows.verb import Outcome


@workflow.defn(name="UnrescueServer")
class UnrescueServer(EndingMove):
    @workflow.init
    def __init__(self, params: EndMoveParams) -> None:
        super().__init__(params)

    @workflow.run
    async def run(self, params: EndMoveParams) -> Outcome:
        return await self.run_end()

    async def go(self, sides: MoveSides) -> None:
        """Both guests are on one host: where that does not answer, the server stays in its rescue."""
        back = ParkGuest(attempt=sides.new, start=True)
        await self.saga.run(ParkActivities.unpark, back, policies.HOST_UNDO, host=sides.new.host)
        for image_id in sides.new_images:
            release = FetchImage(attempt=sides.new, image_id=image_id, **NO_TOKEN)
            try:
                await self.saga.run(ImageActivities.release, release, policies.HOST_UNDO, host=sides.new.host)
            except ActivityError:
                workflow.logger.warning("Image %s is left to host %s.", image_id, sides.new.host)
        reverted = Reverted(server_id=self.server_id, op=self.op, power_state=1)
        await self.saga.persist(MoveActivities.revert, reverted, policies.UNDO_RECORD)
