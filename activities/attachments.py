"""Attaching a volume to a running server, and taking it back: the first transaction of each, in the control plane."""

from activities.base import step
from infra.db import attachments
from infra.db.engine import Database
from infra.temporal.history import History


class BeginAttach(History):
    server_id: str
    volume_id: str
    attachment_id: str
    project_id: str
    user_id: str
    request_id: str
    device: str | None = None
    delete_on_termination: bool = False


class BegunAttach(History):
    host: str
    attempt: int
    device: str


class BeginDetach(History):
    server_id: str
    volume_id: str
    project_id: str
    user_id: str
    request_id: str


class BegunDetach(History):
    host: str
    attempt: int
    attachment_id: str


class EndAttachment(History):
    """How an attach or a detach ended, for the server's list of actions."""

    server_id: str
    request_id: str
    message: str | None = None


class AttachmentActivities:
    def __init__(self, db: Database) -> None:
        self._db = db

    @step("attachments.withdraw", because="it is an undo")
    async def withdraw(self, params: BeginAttach) -> None:
        """Give the volume back."""
        await self._db.write(attachments.withdraw, params.server_id, params.attachment_id)

    @step("attachments.begin", undo=withdraw)
    async def begin(self, params: BeginAttach) -> BegunAttach:
        """Reserve the volume for the server, as a device of it.

        Raises:
            NotFound: no such server or volume.
            Conflict: a verb holds the server, or its state does not allow it.
            BadRequest: the volume is not available.
        """
        reserved = await self._db.write(
            attachments.begin,
            server_id=params.server_id,
            volume_id=params.volume_id,
            attachment_id=params.attachment_id,
            project_id=params.project_id,
            user_id=params.user_id,
            request_id=params.request_id,
            device=params.device,
            delete_on_termination=params.delete_on_termination,
        )
        return BegunAttach(host=reserved.host, attempt=reserved.attempt, device=reserved.device)

    @step("attachments.roll_back_detach", because="it is an undo")
    async def roll_back_detach(self, params: BeginDetach) -> None:
        """The guest keeps the volume."""
        await self._db.write(attachments.roll_back_detach, params.server_id, params.volume_id, params.request_id)

    @step("attachments.begin_detach", undo=roll_back_detach)
    async def begin_detach(self, params: BeginDetach) -> BegunDetach:
        """Raises NotFound if the volume is not attached to the server, Conflict if a verb holds the server."""
        begun = await self._db.write(
            attachments.begin_detach,
            server_id=params.server_id,
            volume_id=params.volume_id,
            project_id=params.project_id,
            user_id=params.user_id,
            request_id=params.request_id,
        )
        return BegunDetach(host=begun.host, attempt=begun.attempt, attachment_id=begun.attachment_id)

    @step("attachments.end", because="it says what is so")
    async def end(self, params: EndAttachment) -> None:
        await self._db.write(attachments.end, params.server_id, params.request_id, params.message)
