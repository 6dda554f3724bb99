"""A rescue: the server from another image, on its host and in its room, with the disk that it had as the second.

The guest that it had is set aside until the rescue is over, so a rescue that fails leaves the server as it was.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.moving import MoveParams, Moving
    from workflows.verb import Outcome


@workflow.defn(name="RescueServer")
class RescueServer(Moving):
    @workflow.init
    def __init__(self, params: MoveParams) -> None:
        super().__init__(params)

    @workflow.run
    async def run(self, params: MoveParams) -> Outcome:
        return await self.run_move()

    async def forward(self) -> None:
        attempt, power_state = await self.take_its_place(await self.admit())
        await self.complete(attempt, power_state)
