"""Volumes of servers: the transactions that touch the server's row and the volume's at once."""

import re

from pydantic import BaseModel, ConfigDict
from sqlmodel import Session, col, select

from infra.db import actions, idempotency, servers, volume_attachments, volumes
from infra.db.tables.volume import AttachmentRow, VolumeRow
from infra.db.types import now
from infra.domain.errors import BadRequest, Conflict, NotFound
from infra.domain.server import Server, VmState
from infra.domain.volume import VolumeAttachment

ATTACHABLE = frozenset({VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED})
_DEVICE = re.compile(r"(?:/dev/)?(vd[b-z])")


class Reserved(BaseModel):
    model_config = ConfigDict(frozen=True)

    host: str
    attempt: int
    device: str


class Leaving(BaseModel):
    model_config = ConfigDict(frozen=True)

    host: str
    attempt: int
    attachment_id: str


def of_server(session: Session, server_id: str) -> list[VolumeAttachment]:
    """Attachments of a server, reserved ones too, oldest first."""
    query = select(AttachmentRow).where(col(AttachmentRow.server_id) == server_id)
    rows = session.exec(query.order_by(col(AttachmentRow.attached_at), col(AttachmentRow.id)))
    return [VolumeAttachment.model_validate(row, from_attributes=True) for row in rows]


def begin(
    session: Session,
    *,
    server_id: str,
    volume_id: str,
    attachment_id: str,
    project_id: str,
    user_id: str,
    request_id: str,
    device: str | None,
    delete_on_termination: bool,
) -> Reserved:
    """Reserve a volume for a running server, as a device that no other volume of it has.

    Raises:
        NotFound: no such server or volume.
        Conflict: a verb holds the server, or its state does not allow it.
        BadRequest: the volume isn't available, or the device's name is not one of ``/dev/vdb`` to ``/dev/vdz``.
    """
    server = usable(session, server_id, "attach_volume")
    check_open(session, attachment_id)
    existing = {attachment.id: attachment for attachment in of_server(session, server_id)}
    if attachment_id in existing:
        return Reserved(host=str(server.host), attempt=server.attempt, device=str(existing[attachment_id].device))
    chosen = free_device(device, {attachment.device for attachment in existing.values()}, bool(server.config_drive))
    attachment = VolumeAttachment(
        id=attachment_id,
        volume_id=volume_id,
        server_id=server_id,
        host=server.host,
        device=chosen,
        attempt=server.attempt,
        status="reserved",
        attached_at=now(),
        delete_on_termination=delete_on_termination,
    )
    volume_attachments.attach(session, attachment, project_id)
    _hold(session, attachment_id, request_id)
    actions.start(session, server, request_id, "attach_volume", user_id)
    return Reserved(host=str(server.host), attempt=server.attempt, device=chosen)


def withdraw(session: Session, server_id: str, attachment_id: str) -> None:
    """Undo of ``begin``; not there is success, and one that comes later is refused."""
    servers.lock(session, server_id)
    idempotency.bury(session, f"{attachment_id}/begin")
    volume_attachments.let_go(session, attachment_id)


def check_open(session: Session, what: str) -> None:
    """Raises Conflict for a request that was given up before it began."""
    if idempotency.is_buried(session, f"{what}/begin"):
        raise Conflict("The request was given up before it was admitted.", kind="AttemptClosed")


def begin_detach(
    session: Session, *, server_id: str, volume_id: str, project_id: str, user_id: str, request_id: str
) -> Leaving:
    """Mark the volume ``detaching``; a repeat finds it so.

    Raises:
        NotFound: the volume is not attached to this server.
        Conflict: a verb holds the server, or its state does not allow it.
        Forbidden: the server boots from it.
    """
    server = usable(session, server_id, "detach_volume")
    check_open(session, f"{server_id}/{request_id}")
    attachment, volume = leaving(session, server, volume_id)
    volume.status, volume.updated_at = "detaching", now()
    session.add(volume)
    _hold(session, attachment.id, request_id)
    actions.start(session, server, request_id, "detach_volume", user_id)
    return Leaving(host=str(server.host), attempt=server.attempt, attachment_id=attachment.id)


def leaving(session: Session, server: Server, volume_id: str) -> tuple[VolumeAttachment, VolumeRow]:
    """The attachment of a volume that may be detached from the server, and the volume.

    Raises:
        NotFound: it is not attached to this server.
        BadRequest: the server boots from it, or it comes or goes now.
    """
    found = [attachment for attachment in of_server(session, server.id) if attachment.volume_id == volume_id]
    if not found:
        raise NotFound(f"volume_id not found: {volume_id}")
    if any(device.volume_id == volume_id and device.boot_index == 0 for device in server.block_devices):
        raise BadRequest("Cannot detach a root device volume.")
    volume = _volume(session, volume_id)
    if volume.status not in ("in-use", "detaching"):
        raise BadRequest(
            f"Invalid volume: Invalid input received: Invalid volume: Unable to detach volume. Volume status must be "
            f"'in-use' and attach_status must be 'attached' to detach. Currently: status: '{volume.status}'."
        )
    return found[0], volume


def roll_back_detach(session: Session, server_id: str, volume_id: str, request_id: str) -> None:
    """The guest keeps it; a beginning that comes later is refused."""
    servers.lock(session, server_id)
    idempotency.bury(session, f"{server_id}/{request_id}/begin")
    volume = session.get(VolumeRow, volume_id)
    if volume is not None and volume.status == "detaching":
        volume.status = "in-use"
        session.add(volume)


def end(session: Session, server_id: str, request_id: str, message: str | None) -> None:
    """The attach or detach is over, however it ended."""
    actions.finish(session, server_id, request_id, message)
    held = col(AttachmentRow.server_id) == server_id, col(AttachmentRow.op) == request_id
    for row in session.exec(select(AttachmentRow).where(*held)):
        row.op = None
        session.add(row)


def _hold(session: Session, attachment_id: str, request_id: str) -> None:
    row = session.get(AttachmentRow, attachment_id)
    assert row is not None
    row.op = request_id
    session.add(row)


def usable(session: Session, server_id: str, what: str) -> Server:
    """The server, locked: two attachments at once must not get the same device.

    Raises:
        NotFound: there is none.
        Conflict: a verb holds it, or its state does not allow ``what``.
    """
    servers.lock(session, server_id)
    server = servers.get(session, server_id)
    check_state(server, what)
    return server


def check_state(server: Server, what: str) -> None:
    """Raises Conflict if a verb holds the server, or its state does not allow ``what``."""
    if server.task_state is not None:
        raise Conflict(f"Cannot '{what}' instance {server.id} while it is in task_state {server.task_state}")
    if server.vm_state not in ATTACHABLE or server.host is None:
        raise Conflict(f"Cannot '{what}' instance {server.id} while it is in vm_state {server.vm_state}")


def free_device(asked: str | None, taken: set[str | None], config_drive: bool) -> str:
    """Virtio disks are named in order; the config drive, where there is one, is the last name (``vdz``).

    Raises:
        BadRequest: the name is not one of ``/dev/vdb`` to ``/dev/vdz``.
        Conflict: it is in use, or none is left.
    """
    if asked:
        found = _DEVICE.fullmatch(asked)
        if not found or (config_drive and found[1] == "vdz"):
            raise BadRequest(f"The supplied device path ({asked}) is invalid.")
        if f"/dev/{found[1]}" in taken:
            raise Conflict(f"The supplied device path ({asked}) is in use.")
        return f"/dev/{found[1]}"
    for letter in "bcdefghijklmnopqrstuvwxy":
        if f"/dev/vd{letter}" not in taken:
            return f"/dev/vd{letter}"
    raise Conflict("The server has no device left for another volume.")


def _volume(session: Session, volume_id: str) -> VolumeRow:
    return volumes.existing(session, volume_id, lock=True)
