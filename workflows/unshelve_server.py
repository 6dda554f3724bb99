"""An unshelve: a shelved server on a host again, from the image that it was saved as, with its ports and volumes.

What fails leaves it shelved. The image goes when the server runs.
"""

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.image_records import ImageRecordActivities, ReserveImage
    from activities.images import FetchedImage, FetchImage, ImageActivities
    from activities.models import Attempt
    from activities.moves import BegunMove
    from activities.parking import CarryDisk, ParkActivities
    from workflows import policies
    from workflows.moving import MoveParams, Moving
    from workflows.verb import Outcome


@workflow.defn(name="UnshelveServer")
class UnshelveServer(Moving):
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
        if begun.shelved_image_id:
            await self.shielded(self.arrive(begun, self.attempt))

    async def build(self, begun: BegunMove, attempt: Attempt) -> int:
        instance, devices = await self.describe(attempt)
        images = await self.fetch_images(attempt, begun.parts)
        if begun.shelved_image_id:
            # As a disk of its own: nothing else uses the image, which goes.
            fetched: FetchedImage = await self.saga.step(
                ImageActivities.fetch,
                self.arrival(begun, attempt),
                policies.HOST_COPY,
                host=attempt.host,
                undo=policies.HOST_UNDO,
            )
            carry = CarryDisk(attempt=attempt, disk_gb=begun.disk_gb, path=fetched.path)
            await self.saga.step(
                ParkActivities.carry_disk, carry, policies.HOST_COPY, host=attempt.host, undo=policies.HOST_UNDO
            )
        return await self.spawn(begun, attempt, instance, devices, images)

    async def arrive(self, begun: BegunMove, attempt: Attempt) -> None:
        """The image goes. What the host can't remove now it removes when it is next compared."""
        try:
            await self.saga.run(
                ImageActivities.forget, self.arrival(begun, attempt), policies.HOST_UNDO, host=attempt.host
            )
        except ActivityError:
            workflow.logger.warning("A copy of the disk of server %s is left on host %s.", self.server_id, attempt.host)
        left = Attempt(server_id=self.server_id, number=begun.attempt, host="")
        image = ReserveImage(attempt=left, image_id=begun.shelved_image_id, fields={})
        await self.saga.persist(ImageRecordActivities.withdraw, image, policies.REST_UNDO)

    def arrival(self, begun: BegunMove, attempt: Attempt) -> FetchImage:
        return FetchImage(attempt=attempt, image_id=begun.shelved_image_id, discard=True, **self.sealed_token())
