"""A server's disk as an image: reserved with the answer to the API, copied on the host, uploaded from there."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.disk_copies import CopiedDisk, CopyDisk, DiskCopyActivities
    from activities.image_records import ImageRecordActivities, ReserveImage
    from activities.images import ImageActivities, UploadImage
    from activities.models import Attempt
    from infra.temporal.sealed import Sealed
    from workflows import policies
    from workflows.saga import Saga


class Saving:
    """Base of the workflows that save a disk; they set ``saga`` and what the image is."""

    saga: Saga
    server_id: str
    token: Sealed
    """Sealed to the server's id, field ``token``."""

    async def reserve(self, attempt: Attempt, image_id: str, fields: dict[str, Any]) -> None:
        reserve = ReserveImage(attempt=attempt, image_id=image_id, fields=fields, **self.sealed_token())
        await self.saga.step(ImageRecordActivities.reserve, reserve, policies.RESERVE, undo=policies.REST_UNDO)

    async def save(self, attempt: Attempt, image_id: str) -> None:
        copied: CopiedDisk = await self.saga.step(
            DiskCopyActivities.copy_disk,
            CopyDisk(attempt=attempt, copy_id=image_id),
            policies.HOST_COPY,
            host=attempt.host,
            undo=policies.HOST_UNDO,
            swept=True,
        )
        upload = UploadImage(attempt=attempt, image_id=image_id, path=copied.path, **self.sealed_token())
        await self.saga.step(ImageActivities.upload, upload, policies.HOST_UPLOAD, host=attempt.host)

    def sealed_token(self) -> dict[str, Any]:
        return {"token": self.token, "token_server_id": self.server_id}
