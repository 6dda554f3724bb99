"""A rebuild: the server again from an image, on its host and in its room; its ports and volumes stay.

The guest that it had is set aside until the new one is there, so a rebuild that fails leaves the server with its disk.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.models import Attempt
    from activities.moves import BegunMove
    from workflows.moving import MoveParams, Moving
    from workflows.verb import Outcome


@workflow.defn(name="RebuildServer")
class RebuildServer(Moving):
    @workflow.init
    def __init__(self, params: MoveParams) -> None:
        super().__init__(params)

    @workflow.run
    async def run(self, params: MoveParams) -> Outcome:
        return await self.run_move()

    async def forward(self) -> None:
        begun = await self.admit()
        attempt, power_state = await self.take_its_place(begun)
        await self.complete(attempt, power_state)
        await self.shielded(self.tidy(begun))

    async def tidy(self, begun: BegunMove) -> None:
        old = Attempt(server_id=self.server_id, number=begun.attempt, host=begun.host)
        await self.drop(old, tuple(image for image in begun.old_images if image not in begun.images))
