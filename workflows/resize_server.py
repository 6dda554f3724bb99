"""A resize or a cold migration: the server with another flavor, or on another host, as an attempt beside the old one.

Both sides hold their room until the move is confirmed or reverted. A host that refuses is excluded and another is
claimed, as in a boot; the guest runs again meanwhile.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.models import Attempt
    from activities.moves import BegunMove
    from infra.domain.move import MoveKind
    from workflows.moving import MoveParams, Moving
    from workflows.verb import Outcome


@workflow.defn(name="ResizeServer")
class ResizeServer(Moving):
    @workflow.init
    def __init__(self, params: MoveParams) -> None:
        super().__init__(params)

    @workflow.update(name="admission")
    async def admission(self) -> None:
        """Answers when the move holds the server; fails with the refusal's code otherwise."""
        await self.admitted()

    @workflow.run
    async def run(self, params: MoveParams) -> Outcome:
        return await self.run_move()

    async def forward(self) -> None:
        begun = await self.admit()
        self.only_host = begun.host
        stays = self.params.begin.kind == MoveKind.RESIZE and self.params.to_same_host
        power_state = await self.try_hosts(begun, excluded=() if stays else (begun.host,))
        assert self.attempt is not None
        await self.complete(self.attempt, power_state)

    async def build(self, begun: BegunMove, attempt: Attempt) -> int:
        """The next attempt, on the host that was claimed for it."""
        instance, devices = await self.describe(attempt)
        shared = begun.old_images if attempt.keeps else ()
        images = await self.fetch_images(attempt, begun.images, shared=shared)
        await self.park(begun, attempt)
        await self.carry(begun, attempt)
        return await self.spawn(begun, attempt, instance, devices, images)
