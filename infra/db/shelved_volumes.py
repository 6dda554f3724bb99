"""Volumes of a server that is on no host: they come and go in rows alone, and its next guest has them."""

from sqlmodel import Session

from infra.db import actions, attachments, move_checks, servers, volume_attachments
from infra.db.types import now
from infra.domain.errors import Conflict
from infra.domain.server import Server, VmState
from infra.domain.volume import VolumeAttachment


def attach(
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
) -> str:
    """Give the server a volume; returns its device.

    Raises:
        NotFound: no such server or volume.
        Conflict: the server is on a host by now, or a verb holds it.
        BadRequest: the volume isn't available, or the device's name is none.
    """
    server = _shelved(session, server_id, "attach_volume")
    taken = {attachment.device for attachment in attachments.of_server(session, server_id)}
    chosen = attachments.free_device(device, taken, bool(server.config_drive))
    attachment = VolumeAttachment(
        id=attachment_id,
        volume_id=volume_id,
        server_id=server_id,
        host=None,
        device=chosen,
        attempt=server.attempt,
        status="attached",
        attached_at=now(),
        delete_on_termination=delete_on_termination,
    )
    volume_attachments.attach(session, attachment, project_id)
    _note(session, server, request_id, "attach_volume", user_id)
    return chosen


def detach(session: Session, *, server_id: str, volume_id: str, user_id: str, request_id: str) -> None:
    """Take a volume from the server.

    Raises:
        NotFound: it is not attached to this server.
        Conflict: the server is on a host by now, or a verb holds it, or a guest of an unshelve that failed may still
            have the volume.
        BadRequest: the server boots from it.
    """
    server = _shelved(session, server_id, "detach_volume")
    move_checks.check_alone(session, server)
    attachment, _ = attachments.leaving(session, server, volume_id)
    volume_attachments.let_go(session, attachment.id)
    _note(session, server, request_id, "detach_volume", user_id)


def _shelved(session: Session, server_id: str, what: str) -> Server:
    servers.lock(session, server_id)
    server = servers.get(session, server_id)
    if server.task_state is not None:
        raise Conflict(f"Cannot '{what}' instance {server_id} while it is in task_state {server.task_state}")
    if server.vm_state is not VmState.SHELVED_OFFLOADED:
        raise Conflict(f"Cannot '{what}' instance {server_id} while it is in vm_state {server.vm_state}")
    return server


def _note(session: Session, server: Server, request_id: str, action: str, user_id: str) -> None:
    actions.start(session, server, request_id, action, user_id)
    actions.finish(session, server.id, request_id)
