"""The rows of servers. Lifecycle writes are conditional on the verb that holds the server: ``WHERE op = mine``.

The lock of a server is its row: (vm_state, task_state, op). A verb takes it in its first transaction and every later
write of that verb names its own ``op``, so that a verb that was overtaken by a delete writes nothing more.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Update, bindparam, delete, func
from sqlmodel import Session, col, select

from infra.db import groups
from infra.db.statements import Lookup, run, table_of
from infra.db.tables.servers import ActionRow, ServerRow, StuckUndoRow, UserDataRow
from infra.db.types import now
from infra.domain.errors import Conflict, NotFound
from infra.domain.flavor import Flavor
from infra.domain.move import Move
from infra.domain.server import (
    BlockDevice,
    Fault,
    RequestedNetwork,
    Server,
    TaskState,
    Verb,
    VmState,
)
from infra.domain.transitions import Transition, begin

_SAME = [
    "id",
    "project_id",
    "user_id",
    "name",
    "hostname",
    "image_id",
    "kernel_id",
    "ramdisk_id",
    "key_name",
    "op",
    "power_state",
    "host",
    "attempt",
    "last_attempt",
    "reservation_id",
    "launch_index",
    "availability_zone",
    "config_drive",
    "description",
    "locked",
    "locked_reason",
    "access_ip_v4",
    "access_ip_v6",
    "disk_config",
    "scheduler_hints",
    "root_device_name",
    "shelved_image_id",
    "progress",
    "stuck_undo",
    "created_at",
    "updated_at",
    "launched_at",
    "terminated_at",
    "deleted_at",
]
_SERVER = table_of(ServerRow)
_BY_ID = Lookup(ServerRow, "id")
_USER_DATA = Lookup(UserDataRow, "server_id")
_MINE = _SERVER.update().where(_SERVER.c.id == bindparam("of_server"), _SERVER.c.op == bindparam("by_op"))
_PLACE = _MINE.values(
    host=bindparam("to_host"),
    attempt=bindparam("in_attempt"),
    availability_zone=func.coalesce(bindparam("in_zone"), _SERVER.c.availability_zone),
    task_state=TaskState.SPAWNING.value,
    updated_at=bindparam("at"),
)
_ACTIVATE = _MINE.values(
    vm_state=VmState.ACTIVE.value,
    task_state=None,
    op=None,
    power_state=bindparam("power"),
    progress=100,
    launched_at=func.coalesce(_SERVER.c.launched_at, bindparam("at")),
    updated_at=bindparam("at"),
)


def to_server(row: Any) -> Server:
    """From a row of the table, of the session's or not."""
    return Server(
        **{name: getattr(row, name) for name in _SAME},
        flavor=Flavor.model_validate(row.flavor),
        vm_state=VmState(row.vm_state),
        task_state=TaskState(row.task_state) if row.task_state else None,
        metadata=row.server_metadata,
        tags=tuple(row.tags),
        security_groups=tuple(row.security_groups),
        networks=tuple(RequestedNetwork.model_validate(entry) for entry in row.networks),
        block_devices=tuple(BlockDevice.model_validate(entry) for entry in row.block_devices),
        fault=Fault.model_validate(row.fault) if row.fault else None,
        move=Move.model_validate(row.move) if row.move else None,
    )


def insert(session: Session, server: Server, sealed_user_data: dict[str, str] | None = None) -> None:
    values = {
        **{name: getattr(server, name) for name in _SAME},
        "flavor": server.flavor.model_dump(mode="json"),
        "flavor_id": server.flavor.id,
        "vm_state": server.vm_state,
        "task_state": server.task_state,
        "server_metadata": server.metadata,
        "tags": list(server.tags),
        "security_groups": list(server.security_groups),
        "networks": [entry.model_dump(mode="json") for entry in server.networks],
        "block_devices": [entry.model_dump(mode="json") for entry in server.block_devices],
    }
    run(session, _SERVER.insert(), values)
    if sealed_user_data is not None:
        session.add(UserDataRow(server_id=server.id, sealed=sealed_user_data))


def find(session: Session, server_id: str) -> Server | None:
    """The server, deleted ones included."""
    row = _BY_ID.first(session, server_id)
    return to_server(row) if row else None


def get(session: Session, server_id: str) -> Server:
    """Raises NotFound if there is none, or it was deleted."""
    server = find(session, server_id)
    if server is None or server.vm_state is VmState.DELETED:
        raise NotFound(f"Instance {server_id} could not be found.")
    return server


def list_servers(
    session: Session,
    *,
    project_id: str | None = None,
    host: str | None = None,
    deleted: bool = False,
    where: tuple[ColumnElement[bool], ...] = (),
    order_by: tuple[Any, ...] = (),
    limit: int | None = None,
) -> list[Server]:
    """Servers, newest first unless ``order_by`` says otherwise; ``where`` are conditions on ``ServerRow``."""
    query = select(ServerRow)
    if project_id is not None:
        query = query.where(col(ServerRow.project_id) == project_id)
    if host is not None:
        query = query.where(col(ServerRow.host) == host)
    condition = col(ServerRow.vm_state) == VmState.DELETED
    query = query.where(condition if deleted else ~condition, *where)
    query = query.order_by(*(order_by or (col(ServerRow.created_at).desc(), col(ServerRow.id).desc())))
    return [to_server(row) for row in session.exec(query.limit(limit))]


def sealed_user_data(session: Session, server_id: str) -> dict[str, str] | None:
    row = _USER_DATA.first(session, server_id)
    return dict(row.sealed) if row else None


def lock(session: Session, server_id: str) -> None:
    """Keep other writers of this server waiting until the transaction ends; that there is none is no error."""
    session.exec(select(ServerRow.id).where(col(ServerRow.id) == server_id).with_for_update()).first()


def _locked(session: Session, server_id: str) -> ServerRow | None:
    """The row, held against other writers until the transaction ends."""
    return session.exec(select(ServerRow).where(col(ServerRow.id) == server_id).with_for_update()).first()


def held_row(session: Session, server_id: str, op: str) -> ServerRow | None:
    """The row for writing, if ``op`` still holds it."""
    row = _locked(session, server_id)
    return row if row is not None and row.op == op else None


def _write_if_mine(session: Session, statement: Update, server_id: str, op: str, values: Mapping[str, Any]) -> bool:
    return bool(run(session, statement, {"of_server": server_id, "by_op": op, **values}).rowcount)  # type: ignore[attr-defined]


def write_row(session: Session, row: ServerRow, **values: Any) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    row.updated_at = now()
    session.add(row)


def begin_verb(session: Session, server_id: str, verb: Verb, op: str) -> Server:
    """Take the server for a verb; a repeat of the same ``op`` finds it taken already.

    Raises:
        NotFound: no such server.
        Conflict: another verb holds it, or it is in the wrong state.
    """
    row = _locked(session, server_id)
    if row is None or row.vm_state == VmState.DELETED:
        raise NotFound(f"Instance {server_id} could not be found.")
    if row.op == op:
        return to_server(row)
    rule: Transition = begin(verb, VmState(row.vm_state), TaskState(row.task_state) if row.task_state else None)
    if row.host is None and verb is not Verb.UNSHELVE:
        raise Conflict(f"Cannot '{verb}' instance while it has no host")
    write_row(session, row, task_state=rule.task, op=op)
    return to_server(row)


def end_verb(
    session: Session,
    server_id: str,
    op: str,
    *,
    vm_state: VmState | None = None,
    power_state: int | None = None,
    fault: Fault | None = None,
) -> bool:
    """Let go of the server; with a state where the verb succeeded, or showed that the server is broken.

    False: a later verb holds it.
    """
    row = held_row(session, server_id, op)
    if row is None:
        return False
    if vm_state is not None:
        row.vm_state = vm_state
    if power_state is not None:
        row.power_state = power_state
    if fault is not None:
        row.fault = fault.model_dump(mode="json")
    write_row(session, row, task_state=None, op=None)
    return True


def take_over(session: Session, server_id: str, op: str) -> None:
    """Hold the server for its repair, whoever held it before."""
    row = _locked(session, server_id)
    if row is not None:
        write_row(session, row, op=op)


def verb_key(server_id: str, op: str) -> str:
    """Idempotency key of a verb's beginning: it is buried when the verb is over."""
    return f"{server_id}/verb/{op}"


def place(session: Session, server_id: str, op: str, host: str, attempt: int, zone: str | None) -> bool:
    """Say on which host, and in which attempt, the server is being made."""
    where = {"to_host": host, "in_attempt": attempt, "in_zone": zone or None, "at": now()}
    return _write_if_mine(session, _PLACE, server_id, op, where)


def displace(session: Session, server_id: str, op: str, attempt: int) -> bool:
    """Undo of ``place``: the attempt is over; the number stays, it is never used again."""
    row = held_row(session, server_id, op)
    if row is None or row.attempt != attempt:
        return False
    write_row(session, row, host=None, task_state=TaskState.SCHEDULING)
    return True


def set_active(session: Session, server_id: str, op: str, power_state: int) -> bool:
    """The boot is done. True also where an earlier call of this boot, whose reply was lost, has written it."""
    if _write_if_mine(session, _ACTIVATE, server_id, op, {"power": power_state, "at": now()}):
        return True
    found = _BY_ID.first(session, server_id)
    # Until the boot's run has closed no other verb can have made it ACTIVE and let go of it.
    return found is not None and found.vm_state == VmState.ACTIVE and found.op is None


def begin_undo(session: Session, server_id: str, op: str) -> bool:
    """From here on the boot ``op`` can only end in ERROR. False: it has made the server ACTIVE before."""
    row = held_row(session, server_id, op)
    if row is not None:
        write_row(session, row, op=_undoing(op))
        return True
    found = session.get(ServerRow, server_id)
    return found is None or found.vm_state != VmState.ACTIVE


def _undoing(op: str) -> str:
    return f"{op}/undo"


def set_error(session: Session, server_id: str, op: str, fault: Fault, explanation: dict[str, Any] | None) -> bool:
    """The boot was undone. The row stays, to tell why, until it is deleted."""
    row = held_row(session, server_id, _undoing(op)) or held_row(session, server_id, op)
    if row is None:
        return False
    write_row(
        session,
        row,
        vm_state=VmState.ERROR,
        task_state=None,
        op=None,
        host=None,
        power_state=0,
        fault=fault.model_dump(mode="json"),
        explanation=explanation,
    )
    return True


def mark_deleting(session: Session, server_id: str, op: str) -> Server:
    """Take the server for its deletion, whoever holds it now: delete may always come.

    Raises:
        NotFound: no such server.
    """
    row = _locked(session, server_id)
    if row is None or row.vm_state == VmState.DELETED:
        raise NotFound(f"Instance {server_id} could not be found.")
    if row.task_state != TaskState.DELETING:
        write_row(session, row, task_state=TaskState.DELETING, op=op)
    return to_server(row)


def set_deleted(session: Session, server_id: str) -> None:
    row = session.get(ServerRow, server_id)
    if row is None or row.vm_state == VmState.DELETED:
        return
    moment = now()
    write_row(
        session,
        row,
        vm_state=VmState.DELETED,
        task_state=None,
        op=None,
        host=None,
        power_state=0,
        terminated_at=moment,
        deleted_at=moment,
        stuck_undo=None,
        move=None,
    )
    session.execute(delete(StuckUndoRow).where(col(StuckUndoRow.server_id) == server_id))
    sealed = session.get(UserDataRow, server_id)
    if sealed is not None:
        session.delete(sealed)
    groups.remove_member(session, server_id)


def remove(session: Session, server_id: str) -> None:
    """Undo of ``insert``: as if the server had never been."""
    session.execute(delete(StuckUndoRow).where(col(StuckUndoRow.server_id) == server_id))
    session.execute(delete(ActionRow).where(col(ActionRow.server_id) == server_id))
    session.execute(delete(UserDataRow).where(col(UserDataRow.server_id) == server_id))
    session.execute(delete(ServerRow).where(col(ServerRow.id) == server_id))
    groups.remove_member(session, server_id)


def set_power_state(session: Session, server_id: str, power_state: int, vm_state: VmState | None = None) -> None:
    """What the host reports of a server that no verb holds."""
    row = _locked(session, server_id)
    if row is None or row.task_state is not None or row.vm_state == VmState.DELETED:
        return
    values: dict[str, Any] = {"power_state": power_state}
    if vm_state is not None:
        values["vm_state"] = vm_state
    write_row(session, row, **values)


def count(session: Session) -> int:
    return session.exec(
        select(func.count()).select_from(ServerRow).where(col(ServerRow.vm_state) != VmState.DELETED)
    ).one()
