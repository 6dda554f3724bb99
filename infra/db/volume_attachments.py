"""Attachments of volumes to servers. One volume has at most one.

Workers attach with an idempotency key, so that a repeat finds its own attachment and one that comes after its undo
finds the door shut (``Conflict`` of kind ``AttemptClosed``).
"""

from sqlmodel import Session, col, select

from infra.db import idempotency, volumes
from infra.db.tables.volume import AttachmentRow
from infra.db.types import now
from infra.domain.errors import BadRequest, Conflict, NotFound
from infra.domain.keys import attachment_key
from infra.domain.volume import VolumeAttachment

_STATUS = {"reserved": "reserved", "attaching": "attaching", "attached": "in-use"}
"""What a volume is while its attachment is so."""


def attach(
    session: Session, attachment: VolumeAttachment, project_id: str | None, *, key: str | None = None
) -> VolumeAttachment:
    """Take an available volume for a server.

    Args:
        attachment: its status says how far this goes: reserved, attaching or attached.
        project_id: None for any project's volume.

    Raises:
        NotFound: no such volume of the project's.
        BadRequest: the volume is not free.
        Conflict: the key was buried, or the id is another attachment's.
    """
    earlier = idempotency.first_use(session, key, attachment.id) if key is not None else None
    found = session.get(AttachmentRow, earlier or attachment.id)
    if found is not None:
        return _repeated(session, found, attachment, project_id, key)
    if earlier is not None:
        raise Conflict(f"Attachment {earlier} was deleted.", kind="AttemptClosed")
    volume = volumes.existing(session, attachment.volume_id, project_id, lock=True)
    held = volumes.attachments_on(session, volume.id)
    if volume.status != "available" or held:
        raise _in_use(volume.id, volume.status)
    volumes.require_uncopied(session, volume.id)
    row = AttachmentRow(**attachment.model_dump(), key=key)
    _follow(session, row)
    return _attachment(row)


def _repeated(
    session: Session, row: AttachmentRow, wanted: VolumeAttachment, project_id: str | None, key: str | None
) -> VolumeAttachment:
    """An attachment that is there already: reserved before, or made by the same call."""
    volume = volumes.existing(session, row.volume_id, project_id, lock=True)
    if (row.volume_id, row.server_id) != (wanted.volume_id, wanted.server_id):
        raise Conflict(f"Attachment {row.id} belongs to another volume or server.")
    if row.status == "reserved" and wanted.status != "reserved":
        row.status, row.host, row.attempt, row.key = wanted.status, wanted.host, wanted.attempt, key
        row.device, row.mode = wanted.device or row.device, wanted.mode
        _follow(session, row)
    elif wanted.status != "reserved" and (row.host, row.attempt) != (wanted.host, wanted.attempt):
        # An attempt whose host can't answer still holds the volume: two writers are worse than waiting.
        raise _in_use(volume.id, volume.status)
    return _attachment(row)


def _in_use(volume_id: str, status: str) -> BadRequest:
    return BadRequest(
        f"Invalid volume: Volume {volume_id} status must be available, but the current status is: {status}."
    )


def connect(session: Session, attachment_id: str, project_id: str | None, host: str, attempt: int) -> VolumeAttachment:
    """reserved -> attaching, on a host."""
    row = existing(session, attachment_id, project_id)
    if row.status == "attached" and row.host != host:
        raise BadRequest(f"Attachment {attachment_id} is attached on another host.")
    if row.status != "attached":
        row.status = "attaching"
    row.host, row.attempt = host, attempt
    _follow(session, row)
    return _attachment(row)


def complete(
    session: Session, attachment_id: str, project_id: str | None, device: str | None = None
) -> VolumeAttachment:
    """attaching -> attached; that it is so already is success."""
    row = existing(session, attachment_id, project_id)
    row.status, row.device = "attached", device or row.device
    row.attached_at = now()
    _follow(session, row)
    return _attachment(row)


def hand_over(session: Session, server_id: str, old_host: str, host: str, attempt: int) -> None:
    """What is attached to a server on a host is another attempt's now, there or elsewhere; ``""``: on no host."""
    held = col(AttachmentRow.status) != "reserved", col(AttachmentRow.server_id) == server_id
    there = col(AttachmentRow.host) == old_host if old_host else col(AttachmentRow.host).is_(None)
    for row in session.exec(select(AttachmentRow).where(*held, there)):
        row.host, row.attempt = host or None, attempt
        row.key = own_key(attachment_key(server_id, attempt, row.id), row.id)
        session.add(row)


def own_key(key: str, attachment_id: str) -> str:
    """A key closes one attachment, not those that the same step makes later."""
    return f"{key}/{attachment_id}"


def detach(session: Session, attachment_id: str, project_id: str | None = None, *, key: str | None = None) -> None:
    """Remove the attachment and give the volume back.

    Args:
        key: the key that it was, or would have been, made with: it is buried. That there is no attachment is
            success then, and one that was made with another key is another attempt's and stays.

    Raises:
        NotFound: there is no such attachment, and no key was given.
    """
    row = session.get(AttachmentRow, attachment_id)
    if key is not None:
        idempotency.bury(session, key)
        if row is None or row.key not in (None, key):
            return
    if not let_go(session, attachment_id, project_id) and key is None:
        raise _missing(attachment_id)


def let_go(session: Session, attachment_id: str, project_id: str | None = None) -> bool:
    """As ``detach``, without a key; False: there was none."""
    row = session.get(AttachmentRow, attachment_id)
    if row is None:
        return False
    volume = volumes.existing(session, row.volume_id, project_id, lock=True)
    # Another detach may have been quicker, and the volume be another server's by now.
    row = session.get(AttachmentRow, attachment_id, populate_existing=True)
    if row is None:
        return False
    session.delete(row)
    session.flush()
    if volume.status in ("reserved", "attaching", "in-use", "detaching"):
        volume.status = "available"
    volume.updated_at = now()
    session.add(volume)
    return True


def get(session: Session, attachment_id: str, project_id: str | None = None) -> VolumeAttachment:
    return _attachment(existing(session, attachment_id, project_id))


def all_of(session: Session, project_id: str | None = None) -> list[VolumeAttachment]:
    """All attachments of a project's volumes, oldest first."""
    query = select(AttachmentRow).order_by(col(AttachmentRow.attached_at), col(AttachmentRow.id))
    ids = {volume.id for volume in volumes.all_of(session, project_id)}
    return [_attachment(row) for row in session.exec(query) if row.volume_id in ids]


def existing(session: Session, attachment_id: str, project_id: str | None) -> AttachmentRow:
    row = session.get(AttachmentRow, attachment_id)
    if row is None:
        raise _missing(attachment_id)
    try:
        volumes.existing(session, row.volume_id, project_id, lock=True)
    except NotFound:
        raise _missing(attachment_id) from None
    row = session.get(AttachmentRow, attachment_id, populate_existing=True)
    if row is None:
        raise _missing(attachment_id)
    return row


def _missing(attachment_id: str) -> NotFound:
    return NotFound(f"Volume attachment could not be found with filter: attachment_id = {attachment_id}.")


def _follow(session: Session, row: AttachmentRow) -> None:
    """Make the volume's status that of its attachment."""
    session.add(row)
    volume = volumes.existing(session, row.volume_id)
    volume.status, volume.updated_at = _STATUS[row.status], now()
    session.add(volume)
    session.flush()


def _attachment(row: AttachmentRow) -> VolumeAttachment:
    return VolumeAttachment.model_validate(row, from_attributes=True)
