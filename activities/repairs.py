"""Taking a row from a request whose run is over, and letting go of it when it says again what is so."""

from sqlmodel import Session

from activities.base import step
from activities.models import Attempt
from activities.volumes import attach_key
from infra.db import claims, repairs
from infra.db.engine import Database
from infra.domain.server import PowerState, Server, TaskState, Verb, VmState
from infra.temporal.history import History

BOOT = "boot"
DELETE = "delete"
VERB = "verb"
MOVE = "move"
END = "end"
_ENDS = {
    TaskState.RESIZE_CONFIRMING: Verb.CONFIRM_RESIZE,
    TaskState.RESIZE_REVERTING: Verb.REVERT_RESIZE,
    TaskState.UNRESCUING: Verb.UNRESCUE,
    TaskState.SHELVING_OFFLOADING: Verb.SHELVE_OFFLOAD,
}


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
    verb: str = ""
    """Of the end of a move."""
    moving: Attempt | None = None
    """Of a move: the last attempt that it made, on the host of the one that stays."""
    elsewhere: tuple[Attempt, ...] = ()
    """What else it has claimed."""
    ran: bool = False
    new_images: tuple[str, ...] = ()


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
        return await self._db.write(_take, params)

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


def _take(session: Session, params: TakeServer) -> TakenServer:
    server = repairs.take_server(session, params.server_id, params.seen_op, params.op, params.why)
    if server is None:
        return TakenServer()
    taken = _taken(server)
    return _moving(session, server, taken) if taken.kind == MOVE else taken


def _moving(session: Session, server: Server, taken: TakenServer) -> TakenServer:
    number, kept = server.last_attempt, server.images
    return taken.model_copy(
        update={
            "moving": Attempt(server_id=server.id, number=number, host=taken.host, keeps=server.attempt),
            "elsewhere": tuple(
                Attempt(server_id=server.id, number=claim.attempt, host=claim.host)
                for claim in claims.of_server(session, server.id)
                if claim.attempt > server.attempt and not claim.quarantined
            ),
            "ran": server.vm_state is VmState.ACTIVE or server.power_state == PowerState.RUNNING,
            "new_images": tuple(image for image in server.moved.images if image not in kept),
        }
    )


def _taken(server: Server) -> TakenServer:
    kind = VERB
    if server.task_state is TaskState.DELETING:
        kind = DELETE
    elif server.task_state in _ENDS:
        kind = END
    elif server.move is not None:
        kind = MOVE
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
        verb=_ENDS.get(server.task_state, "") if server.task_state else "",
    )
