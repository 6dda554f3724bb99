"""Rows that a request holds: which are held for long, and how a repair takes one from a request whose run is over.

A repair takes the row by compare and set, as every verb does, so that nothing which the lost run still had under way
can write any more, and a run that was only slow to close keeps what it has.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import literal_column
from sqlmodel import Session, col, select

from infra.db import actions, idempotency, images, servers, stuck_undos, volume_attachments, volumes
from infra.db.tables.servers import HELD, ServerRow
from infra.db.tables.volume import AttachmentRow, VolumeRow
from infra.domain.server import Server, TaskState, VmState
from infra.domain.server_image import shelved_image_id


class HeldServer(BaseModel):
    model_config = ConfigDict(frozen=True)

    server_id: str
    project_id: str
    op: str | None
    task_state: str | None
    since: datetime
    workflow_ids: tuple[str, ...]
    """Of the runs that may hold it: its own, and the reservation that admitted it with others."""


class HeldAttachment(BaseModel):
    """An attach or detach under way."""

    model_config = ConfigDict(frozen=True)

    attachment_id: str
    server_id: str
    project_id: str
    volume_id: str
    op: str
    since: datetime

    @property
    def workflow_id(self) -> str:
        return f"server/{self.server_id}/volume/{self.volume_id}"


class TakenAttachment(BaseModel):
    model_config = ConfigDict(frozen=True)

    attachment_id: str
    host: str
    attempt: int
    whole: bool
    """It was attached, or kept, before its run was lost: there is only its row to let go of."""


def held_servers(session: Session, before: datetime) -> list[HeldServer]:
    """Servers whose row nobody has written since ``before`` although a request holds it, longest first."""
    query = select(ServerRow).where(
        literal_column(HELD), col(ServerRow.updated_at) < before, col(ServerRow.vm_state) != "deleted"
    )
    return [
        HeldServer(
            server_id=row.id,
            project_id=row.project_id,
            op=row.op,
            task_state=row.task_state,
            since=row.updated_at,
            workflow_ids=(f"server/{row.id}", *_reservations(session, row)),
        )
        for row in session.exec(query.order_by(col(ServerRow.updated_at)))
    ]


def _reservations(session: Session, row: ServerRow) -> list[str]:
    first = select(ServerRow.id).where(
        col(ServerRow.reservation_id) == row.reservation_id,
        col(ServerRow.project_id) == row.project_id,
        col(ServerRow.launch_index) == 0,
    )
    return [f"reservation/{row.reservation_id}-{server_id}" for server_id in session.exec(first)]


def held_attachments(session: Session, before: datetime) -> list[HeldAttachment]:
    """Attachments that an attach or detach holds and whose volume nobody has written since ``before``."""
    query = (
        select(AttachmentRow, VolumeRow)
        .join(VolumeRow, col(VolumeRow.id) == col(AttachmentRow.volume_id))
        .where(col(AttachmentRow.op).is_not(None), col(VolumeRow.updated_at) < before)
    )
    return [
        HeldAttachment(
            attachment_id=row.id,
            server_id=row.server_id,
            project_id=volume.project_id,
            volume_id=row.volume_id,
            op=str(row.op),
            since=volume.updated_at or row.attached_at,
        )
        for row, volume in session.exec(query)
    ]


def take_server(session: Session, server_id: str, seen_op: str | None, op: str, why: str) -> Server | None:
    """Hold the server for a repair; a repeat of the same ``op`` finds it held. None: nobody has to repair it.

    A delete keeps its row, since the repair is that it goes on.
    """
    servers.lock(session, server_id)
    server = servers.find(session, server_id)
    if server is None or server.vm_state is VmState.DELETED or (server.task_state is None and server.op is None):
        return None
    if server.op == op or (server.task_state is TaskState.DELETING and server.op == seen_op):
        return server
    if server.op != seen_op:
        return None
    if seen_op is not None:
        request_id = seen_op.removesuffix("/undo")
        idempotency.bury(session, servers.verb_key(server_id, request_id))
        actions.finish(session, server_id, request_id, why)
    # The run that was lost says nothing of what it was stuck with any more.
    stuck_undos.say_of_holder(session, server_id, None)
    images.withdraw_unfinished(session, server_id, server.attempt)
    if server.task_state is TaskState.SHELVING and seen_op is not None:
        # Also one that is whole: the server is not shelved.
        image_id = shelved_image_id(server_id, seen_op)
        images.withdraw(session, image_id, images.server_key(server_id, server.attempt, image_id))
    servers.take_over(session, server_id, op)
    return server


def take_attachment(
    session: Session, attachment_id: str, server_id: str, seen_op: str, op: str, why: str
) -> TakenAttachment | None:
    """Hold the attachment for a repair; None: nobody has to repair it any more."""
    servers.lock(session, server_id)
    row = session.get(AttachmentRow, attachment_id)
    if row is None or row.op not in (seen_op, op):
        return None
    whole = row.status == "attached" and volumes.existing(session, row.volume_id, lock=True).status != "detaching"
    if row.op != op:
        # Neither the attach nor the detach of the lost run may begin any more.
        idempotency.bury(session, f"{attachment_id}/begin")
        idempotency.bury(session, f"{server_id}/{seen_op}/begin")
        actions.finish(session, server_id, seen_op, None if whole else why)
        row.op = op
        session.add(row)
    return TakenAttachment(attachment_id=row.id, host=row.host or "", attempt=row.attempt, whole=whole)


def end_attachment(session: Session, attachment_id: str, op: str, *, key: str, whole: bool) -> None:
    """Let go of the attachment, or remove it where the guest has it no more; ``key`` is that of the attach's step."""
    row = session.get(AttachmentRow, attachment_id)
    if row is not None and row.op != op:
        return
    if not whole:
        idempotency.bury(session, volume_attachments.own_key(key, attachment_id))
        # There is none where its server was deleted meanwhile.
        volume_attachments.let_go(session, attachment_id)
    elif row is not None:
        row.op = None
        session.add(row)
