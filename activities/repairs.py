"""Taking a row from a request whose run is over, and letting go of it when it says again what is so."""

from activities.base import step
from activities.models import Attempt
from activities.volumes import attach_key
from infra.db import repairs
from infra.db.engine import Database
from infra.domain.server import Server, TaskState, VmState
from infra.temporal.history import History

BOOT = "boot"
DELETE = "delete"
VERB = "verb"


class TakeServer(History):
    server_id: str
    seen_op: str | None = None
    op: str
    why: str = ""


class TakenServer(History):
    """``kind`` says what the lost run was; empty: nobody has to repair the row any more."""

    kind: str = ""
    op: str = ""
    user_id: str = ""
    host: str = ""
    attempt: int = 0
    vm_state: str = ""
    task_state: str | None = None


class TakeAttachment(History):
    attachment_id: str
    server_id: str
    seen_op: str
    op: str
    why: str = ""


class TakenAttachment(History):
    taken: bool = False
    host: str = ""
    attempt: int = 0
    whole: bool = False
    """It is attached, and stays so: only its row is let go of."""


class EndAttachmentRepair(History):
    attachment_id: str
    attempt: Attempt
    op: str
    whole: bool = False


class RepairActivities:
    def __init__(self, db: Database) -> None:
        self._db = db

    @step("repairs.take_server", because="the repair lets go of it, whatever it finds")
    async def take_server(self, params: TakeServer) -> TakenServer:
        """Hold the server instead of the request that the sweeper saw."""
        server = await self._db.write(repairs.take_server, params.server_id, params.seen_op, params.op, params.why)
        return TakenServer() if server is None else _taken(server)

    @step("repairs.take_attachment", because="the repair lets go of it, whatever it finds")
    async def take_attachment(self, params: TakeAttachment) -> TakenAttachment:
        taken = await self._db.write(
            repairs.take_attachment,
            params.attachment_id,
            params.server_id,
            params.seen_op,
            params.op,
            params.why,
        )
        if taken is None:
            return TakenAttachment()
        return TakenAttachment(taken=True, host=taken.host, attempt=taken.attempt, whole=taken.whole)

    @step("repairs.end_attachment", because="it says what is so")
    async def end_attachment(self, params: EndAttachmentRepair) -> None:
        """The volume is free, or stays where it is; an attach that comes later finds its door shut."""
        key = attach_key(params.attempt, params.attachment_id)
        await self._db.write(repairs.end_attachment, params.attachment_id, params.op, key=key, whole=params.whole)


def _taken(server: Server) -> TakenServer:
    kind = VERB
    if server.task_state is TaskState.DELETING:
        kind = DELETE
    elif server.vm_state is VmState.BUILDING or server.host is None:
        kind = BOOT
    return TakenServer(
        kind=kind,
        op=server.op or "",
        user_id=server.user_id,
        host=server.host or "",
        attempt=server.attempt,
        vm_state=server.vm_state,
        task_state=server.task_state,
    )
