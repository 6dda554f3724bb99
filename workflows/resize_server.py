"""A resize or a cold migration: the server with another flavor, or on another host, as an attempt beside the old one.

Both sides hold their room until the move is confirmed or reverted. A host that refuses is excluded and another is
claimed, as in a boot; the guest runs again meanwhile. Between hosts the disk travels as an image of the services' own.
"""

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.disk_copies import CopiedDisk
    from activities.image_records import ImageRecordActivities, ReserveImage
    from activities.images import FetchedImage, FetchImage, ImageActivities, UploadImage
    from activities.models import Attempt
    from activities.moves import BegunMove
    from activities.parking import CarryDisk, FlattenDisk, ParkActivities
    from infra.domain.move import MoveKind, travelling
    from workflows import policies
    from workflows.moving import MoveParams, Moving
    from workflows.verb import Outcome


@workflow.defn(name="ResizeServer")
class ResizeServer(Moving):
    @workflow.init
    def __init__(self, params: MoveParams) -> None:
        super().__init__(params)

    @workflow.run
    async def run(self, params: MoveParams) -> Outcome:
        return await self.run_move()

    async def forward(self) -> None:
        begun = await self.admit()
        stays = self.params.begin.kind == MoveKind.RESIZE and self.params.to_same_host
        power_state = await self.try_hosts(begun, at_home=stays)
        assert self.attempt is not None
        await self.complete(self.attempt, power_state)
        if begun.has_disk and self.attempt.host != begun.host:
            await self.shielded(self.arrive(begun, self.attempt))

    async def build(self, begun: BegunMove, attempt: Attempt) -> int:
        """The next attempt, on the host that was claimed for it."""
        instance, devices = await self.describe(attempt)
        shared = begun.old_images if attempt.keeps else ()
        images = await self.fetch_images(attempt, begun.parts, shared=shared)
        await self.park(begun, attempt)
        if begun.has_disk:
            path = "" if attempt.keeps else (await self.send(begun, attempt)).path
            carry = CarryDisk(attempt=attempt, disk_gb=begun.disk_gb, path=path)
            await self.saga.step(
                ParkActivities.carry_disk, carry, policies.HOST_COPY, host=attempt.host, undo=policies.HOST_UNDO
            )
        return await self.spawn(begun, attempt, instance, devices, images)

    async def send(self, begun: BegunMove, attempt: Attempt) -> FetchedImage:
        """The disk of the guest that stays, on the host that it goes to."""
        # It gives nothing away that a guest may use.
        await self.saga.step(
            ImageRecordActivities.reserve,
            self.reservation(attempt),
            policies.SERVICE_CALL,
            undo=policies.REST_UNDO,
            always=True,
        )
        flatten = self.flattening(begun, attempt)
        copied: CopiedDisk = await self.saga.step(
            ParkActivities.flatten_disk, flatten, policies.HOST_COPY, host=begun.host, undo=policies.HOST_UNDO
        )
        upload = UploadImage(attempt=flatten.attempt, image_id=flatten.copy_id, path=copied.path)
        await self.saga.step(ImageActivities.upload, upload, policies.HOST_UPLOAD, host=begun.host)
        fetched: FetchedImage = await self.saga.step(
            ImageActivities.fetch,
            self.arrival(attempt),
            policies.HOST_COPY,
            host=attempt.host,
            undo=policies.HOST_UNDO,
        )
        return fetched

    async def arrive(self, begun: BegunMove, attempt: Attempt) -> None:
        """What the disk travelled as goes. What a host can't remove now it removes when it is next compared."""
        for do, params, host in (
            (ParkActivities.drop_flat, self.flattening(begun, attempt), begun.host),
            (ImageActivities.forget, self.arrival(attempt), attempt.host),
        ):
            try:
                await self.saga.run(do, params, policies.HOST_UNDO, host=host)
            except ActivityError:
                workflow.logger.warning("A copy of the disk of server %s is left on host %s.", self.server_id, host)
        await self.saga.persist(ImageRecordActivities.withdraw, self.reservation(attempt), policies.REST_UNDO)

    def image_id(self, attempt: Attempt) -> str:
        return travelling(self.server_id, attempt.number)

    def reservation(self, attempt: Attempt) -> ReserveImage:
        fields = {
            "name": f"move of {self.server_id}",
            "owner": "services",
            "visibility": "private",
            "os_hidden": True,
            "disk_format": "qcow2",
            "container_format": "bare",
        }
        return ReserveImage(attempt=attempt, image_id=self.image_id(attempt), fields=fields)

    def flattening(self, begun: BegunMove, attempt: Attempt) -> FlattenDisk:
        source = attempt.model_copy(update={"host": begun.host, "keeps": begun.attempt})
        return FlattenDisk(attempt=source, copy_id=self.image_id(attempt))

    def arrival(self, attempt: Attempt) -> FetchImage:
        return FetchImage(attempt=attempt, image_id=self.image_id(attempt), discard=True)
