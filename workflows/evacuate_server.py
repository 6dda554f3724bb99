"""An evacuation: the server again from its image on another host, since its own is down.

What the dead host still has is a debt of that host, and stays claimed until it is paid.

Nothing is asked of the dead host. Whoever asks for an evacuation says that it is off: a guest that still runs there
would write to the same volumes.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.models import Attempt
    from activities.moves import BegunMove
    from workflows.moving import MoveParams, Moving
    from workflows.verb import Outcome


@workflow.defn(name="EvacuateServer")
class EvacuateServer(Moving):
    @workflow.init
    def __init__(self, params: MoveParams) -> None:
        super().__init__(params)

    @workflow.run
    async def run(self, params: MoveParams) -> Outcome:
        return await self.run_move()

    async def forward(self) -> None:
        begun = await self.admit()
        power_state = await self.try_hosts(begun)
        assert self.attempt is not None
        await self.complete(self.attempt, power_state)

    async def build(self, begun: BegunMove, attempt: Attempt) -> int:
        instance, devices = await self.describe(attempt)
        images = await self.fetch_images(attempt, begun.images)
        return await self.spawn(begun, attempt, instance, devices, images)
