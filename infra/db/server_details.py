"""What users say of their servers, and looking servers up: nothing here is part of a server's life cycle.

Single-row changes that need no host and no undo; the verbs' own writes are in ``servers.py``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from infra.db import servers
from infra.db.tables.servers import ActionRow, ServerRow
from infra.db.tables.volume import AttachmentRow
from infra.db.types import now
from infra.domain.errors import BadRequest, Conflict, NotFound, QuotaExceeded
from infra.domain.server import Server, VmState
from infra.domain.volume import VolumeAttachment

MAX_TAGS = 50
_BATCH = 500
_TWO_SIDED = (VmState.RESIZED, VmState.RESCUED, VmState.SHELVED, VmState.SHELVED_OFFLOADED)
"""What else there is of the server than its guest would be lost with the state."""


@dataclass(frozen=True)
class Candidate:
    """What a list's conditions look at beyond the columns, before whole servers are read."""

    id: str
    name: str
    tags: frozenset[str]


class Action(BaseModel):
    """Something that was asked of a server (``os-instance-actions``)."""

    model_config = ConfigDict(frozen=True)

    server_id: str
    request_id: str
    action: str
    user_id: str
    project_id: str
    message: str | None
    """Why it failed; None where it didn't, or is not done."""
    started_at: datetime
    finished_at: datetime | None


def candidates(
    session: Session, where: Sequence[ColumnElement[bool]], order_by: Sequence[ColumnElement[Any]]
) -> list[Candidate]:
    """All servers that meet the conditions on ``ServerRow``, in order; deleted ones too unless a condition says no."""
    query = select(ServerRow.id, ServerRow.name, ServerRow.tags).where(*where).order_by(*order_by)
    return [Candidate(id, name, frozenset(tags)) for id, name, tags in session.exec(query)]


def page(found: Sequence[Candidate], keep: Callable[[Candidate], bool], *, limit: int, marker: str | None) -> list[str]:
    """The ids of one page of a list.

    Raises:
        BadRequest: the marker is not in the list.
    """
    if marker is not None:
        places = [number for number, candidate in enumerate(found) if candidate.id == marker]
        if not places:
            raise BadRequest(f"marker [{marker}] not found")
        found = found[places[0] + 1 :]
    ids: list[str] = []
    for candidate in found:
        if len(ids) == limit:
            break
        if keep(candidate):
            ids.append(candidate.id)
    return ids


def read(session: Session, ids: Sequence[str]) -> list[Server]:
    """Servers by id, in this order, deleted ones too."""
    by_id: dict[str, Server] = {}
    for start in range(0, len(ids), _BATCH):
        query = select(ServerRow).where(col(ServerRow.id).in_(ids[start : start + _BATCH]))
        by_id.update((row.id, servers.to_server(row)) for row in session.exec(query))
    return [by_id[id] for id in ids]


def update(session: Session, server_id: str, **changes: Any) -> Server:
    """Change ``name``, ``description``, ``hostname``, ``access_ip_v4``, ``access_ip_v6`` or ``disk_config``."""
    return _change(session, server_id, **changes)


def set_metadata(session: Session, server_id: str, metadata: dict[str, str], *, limit: int, replace: bool) -> Server:
    """Add to the metadata, or replace all of it.

    Raises:
        QuotaExceeded: more than ``limit`` items (negative: any number).
    """
    row = _row(session, server_id)
    merged = metadata if replace else {**row.server_metadata, **metadata}
    if 0 <= limit < len(merged):
        raise QuotaExceeded(f"Maximum number of metadata items exceeds {limit}")
    return _change(session, server_id, server_metadata=merged)


def delete_metadata(session: Session, server_id: str, key: str) -> None:
    """Raises NotFound if there is no such key."""
    row = _row(session, server_id)
    if key not in row.server_metadata:
        raise NotFound("Metadata item was not found")
    _change(session, server_id, server_metadata={k: v for k, v in row.server_metadata.items() if k != key})


def set_tags(session: Session, server_id: str, tags: Sequence[str]) -> Server:
    """Replace all tags; a repeated one counts once."""
    return _change(session, server_id, tags=sorted(set(tags)))


def add_tag(session: Session, server_id: str, tag: str) -> bool:
    """True if the tag is new.

    Raises:
        BadRequest: the server has 50 tags already.
    """
    row = _row(session, server_id)
    if tag in row.tags:
        return False
    if len(row.tags) >= MAX_TAGS:
        raise BadRequest(f"The number of tags exceeded the per-server limit {MAX_TAGS}")
    _change(session, server_id, tags=sorted({*row.tags, tag}))
    return True


def delete_tag(session: Session, server_id: str, tag: str) -> None:
    """Raises NotFound if the server doesn't have it."""
    row = _row(session, server_id)
    if tag not in row.tags:
        raise NotFound(f"Server {server_id} has no tag '{tag}'")
    _change(session, server_id, tags=[other for other in row.tags if other != tag])


def set_lock(session: Session, server_id: str, locked: bool, reason: str | None = None) -> Server:
    return _change(session, server_id, locked=locked, locked_reason=reason if locked else None)


def reset_state(session: Session, server_id: str, state: VmState) -> Server:
    """An administrator says what state a server is in.

    Raises:
        Conflict: a verb holds the server (each one ends by itself), it waits for a move to be confirmed or reverted
            or for its rescue to end, is shelved, or it would be ACTIVE without a host.
    """
    row = _row(session, server_id)
    if row.task_state is not None:
        raise Conflict(f"Cannot 'resetState' instance {server_id} while it is in task_state {row.task_state}")
    if row.vm_state in _TWO_SIDED:
        raise Conflict(f"Cannot 'resetState' instance {server_id} while it is in vm_state {row.vm_state}")
    if state is VmState.ACTIVE and row.host is None:
        raise Conflict(f"Cannot 'resetState' instance {server_id} to active: it is on no host")
    return _change(session, server_id, vm_state=state)


def actions(session: Session, server_id: str) -> list[Action]:
    """What was asked of a server, newest first."""
    query = select(ActionRow).where(col(ActionRow.server_id) == server_id)
    rows = session.exec(query.order_by(col(ActionRow.started_at).desc(), col(ActionRow.request_id).desc()))
    return [Action.model_validate(row.model_dump()) for row in rows]


def action(session: Session, server_id: str, request_id: str) -> Action:
    """Raises NotFound if this request asked nothing of the server."""
    row = session.get(ActionRow, (server_id, request_id))
    if row is None:
        raise NotFound(f"Action for request_id {request_id} on instance {server_id} could not be found.")
    return Action.model_validate(row.model_dump())


def attachments(session: Session, server_ids: Sequence[str]) -> list[VolumeAttachment]:
    """Volumes attached, or being attached, to these servers, oldest first."""
    found: list[VolumeAttachment] = []
    for start in range(0, len(server_ids), _BATCH):
        query = select(AttachmentRow).where(col(AttachmentRow.server_id).in_(server_ids[start : start + _BATCH]))
        rows = session.exec(query.order_by(col(AttachmentRow.attached_at), col(AttachmentRow.id)))
        found += [VolumeAttachment.model_validate(row.model_dump()) for row in rows]
    return found


def _row(session: Session, server_id: str) -> ServerRow:
    row = session.exec(select(ServerRow).where(col(ServerRow.id) == server_id).with_for_update()).first()
    if row is None or row.vm_state == VmState.DELETED:
        raise NotFound(f"Instance {server_id} could not be found.")
    return row


def _change(session: Session, server_id: str, **values: Any) -> Server:
    row = _row(session, server_id)
    for name, value in values.items():
        setattr(row, name, value)
    row.updated_at = now()
    session.add(row)
    return servers.to_server(row)
