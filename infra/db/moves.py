"""Servers that move: the transactions that begin a move, and those that end it one way or the other.

Between the two the row says what the server is without the move, so that a move which comes to nothing has nothing to
put back. In one transaction it says the new side, with the server's ports and volumes.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col

from infra.db import (
    actions,
    claims,
    debts,
    idempotency,
    images,
    move_checks,
    move_requests,
    port_bindings,
    ports,
    quotas,
    servers,
    settlement,
    shelving,
    volume_attachments,
)
from infra.db.tables.servers import ServerRow, UserDataRow
from infra.db.types import now
from infra.domain import boot_rules
from infra.domain.errors import NotFound
from infra.domain.flavor import Flavor
from infra.domain.move import Move, MoveKind
from infra.domain.pci import PciAlias
from infra.domain.server import Fault, PowerState, Server, Verb, VmState


class MoveRequest(BaseModel):
    """What is asked of a server that is to move."""

    model_config = ConfigDict(frozen=True)

    server_id: str
    op: str
    kind: MoveKind
    user_id: str
    flavor_id: str | None = None
    rebuild: move_requests.Rebuild | None = None
    sealed_user_data: dict[str, str] | None = Field(default=None, repr=False)
    rezoned: bool = False
    zone: str | None = None
    """Where ``rezoned``: its availability zone from now on."""
    image_id: str | None = None
    """To be rescued with; None: the server's own."""
    host: str | None = None
    """That an administrator names for an evacuation."""
    pci_aliases: tuple[PciAlias, ...] = ()
    """As the deployment names devices."""
    silent_since: float = 0.0
    """Of an evacuation: seconds since the epoch; a host that has reported later is up."""


class Completed(BaseModel):
    """The new side, as it is."""

    model_config = ConfigDict(frozen=True)

    server_id: str
    op: str
    host: str
    attempt: int
    power_state: int


def begin(session: Session, request: MoveRequest) -> Server:
    """Take the server for its move, hold what the project's quota needs for it, and give it the next attempt's number.
    A repeat finds it begun.

    Raises:
        NotFound: no such server.
        Conflict: another verb holds it, or its state does not allow it.
        BadRequest: what it is to become is not there or does not fit.
        QuotaExceeded: the project has no room for the difference.
    """
    quota = quotas.lock(session, servers.get(session, request.server_id).project_id)
    servers.lock(session, request.server_id)
    move_checks.check_not_given_up(session, request.server_id, request.op)
    server = servers.begin_verb(session, request.server_id, Verb(request.kind), request.op)
    if server.move is not None and server.move.op == request.op:
        return server
    if request.kind is MoveKind.EVACUATE:
        move_checks.check_evacuation(session, server, request.host, request.silent_since)
    move_checks.check_devices_at_rest(session, server, request.kind)
    move_checks.check_alone(session, server)
    flavor, rebuilt = move_requests.resolve(
        session, server, request.kind, request.flavor_id, request.rebuild, request.pci_aliases
    )
    rescue = move_requests.rescue(session, server, request.image_id) if request.kind is MoveKind.RESCUE else None
    more = _more(server.flavor, flavor)
    wanted = {"cores": more["more_vcpus"], "ram": more["more_ram_mb"]}
    boot_rules.check_room(quota, quotas.usage(session, server.project_id), wanted)
    moment = now()
    move = Move(
        kind=request.kind,
        op=request.op,
        host=server.host or "",
        attempt=server.attempt,
        vm_state=server.vm_state,
        flavor=server.flavor,
        new_flavor=flavor,
        **more,
        rebuilt=rebuilt,
        rescue=rescue,
        rezoned=request.rezoned,
        new_zone=request.zone,
        new_user_data=request.rebuild is not None and request.rebuild.new_user_data,
        sealed_user_data=request.sealed_user_data,
        created_at=moment,
        updated_at=moment,
    )
    _write(session, server.id, request.op, move, last_attempt=next_attempt(server))
    actions.start(session, server, request.op, request.kind, request.user_id)
    return servers.get(session, server.id)


def next_attempt(server: Server) -> int:
    """Of the attempt that a move makes first; a repeat of ``begin`` finds its number given."""
    if server.move is not None and not server.move.done:
        return server.last_attempt
    return max(server.attempt, server.last_attempt) + 1


def number(session: Session, server_id: str, op: str, attempt: int) -> None:
    """A move tries another host under another number: neither is used again."""
    row = servers.held_row(session, server_id, op)
    if row is not None and row.last_attempt < attempt:
        servers.write_row(session, row, last_attempt=attempt)


def complete(session: Session, new: Completed) -> bool:
    """The server is its new side. False: it was taken by another verb before; True also for a repeat."""
    row = servers.held_row(session, new.server_id, new.op)
    if row is None or row.move is None:
        found = servers.find(session, new.server_id)
        return found is not None and (found.host, found.attempt) == (new.host, new.attempt)
    server = servers.to_server(row)
    move = server.move
    assert move is not None
    hand_over(session, server.id, move.host, new.host, new.attempt, new.power_state)
    values: dict[str, Any] = {"host": new.host, "attempt": new.attempt, "power_state": new.power_state}
    if move.kind in (MoveKind.RESIZE, MoveKind.MIGRATE):
        done = {"done": True, "new_host": new.host, "updated_at": now(), **_more(move.new_flavor, move.flavor)}
        values |= {"vm_state": VmState.RESIZED, "move": move.model_copy(update=done).model_dump(mode="json")}
        values |= _flavor(move.new_flavor)
    elif move.kind is MoveKind.RESCUE:
        done = {"done": True, "new_host": new.host, "updated_at": now()}
        values |= {"vm_state": VmState.RESCUED, "move": move.model_copy(update=done).model_dump(mode="json")}
    else:
        stopped = move.vm_state == VmState.STOPPED
        values |= {"vm_state": VmState.STOPPED if stopped else VmState.ACTIVE, "move": None, "fault": None}
        values |= _rebuilt(session, server, move)
        if move.kind is MoveKind.UNSHELVE:
            values |= shelving.end(session, server)
    servers.write_row(session, row, **values, task_state=None, op=None)
    actions.finish(session, server.id, new.op)
    session.flush()
    if move.kind is MoveKind.REBUILD:
        claims.pass_on(session, server.id, move.attempt, new.attempt, _image_properties(session, row.image_id))
    elif move.kind is MoveKind.RESCUE:
        claims.renumber(session, server.id, move.attempt, new.attempt)
    elif move.kind is MoveKind.EVACUATE:
        what = f"The server was evacuated to host {new.host}."
        settlement.owe(session, debts.Debt(host=move.host, server_id=server.id, attempt=move.attempt, what=what))
    return True


def abandon(session: Session, server_id: str, op: str, message: str, *, failed: bool) -> bool:
    """The move came to nothing and the server is as it was; ``failed``: but for its guest, which is not back.

    Also where the move may have begun and nobody knows, or a delete has taken the server meanwhile.
    """
    servers.lock(session, server_id)
    idempotency.bury(session, servers.verb_key(server_id, op))
    actions.finish(session, server_id, op, message)
    row = session.get(ServerRow, server_id)
    move = Move.model_validate(row.move) if row is not None and row.move else None
    if row is None or move is None or move.done or op not in (row.op, move.op):
        return False
    if row.op != op:
        servers.write_row(session, row, move=None)
        return False
    values: dict[str, Any] = {"vm_state": move.vm_state}
    if failed:
        fault = Fault(code=500, message=message, created=now())
        values = {"vm_state": VmState.ERROR, "power_state": 0, "fault": fault.model_dump(mode="json")}
    servers.write_row(session, row, **values, move=None, task_state=None, op=None)
    return True


def moving(session: Session) -> list[Server]:
    """Servers with a move under way, or one that waits for its confirmation; the latest first."""
    has_one = col(ServerRow.move)["kind"].as_string().is_not(None)
    return sorted(servers.list_servers(session, where=(has_one,)), key=_since, reverse=True)


def _since(server: Server) -> datetime:
    return server.move.created_at if server.move is not None else server.created_at


def user_data(session: Session, server: Server) -> dict[str, str] | None:
    """Sealed, as its move gives it."""
    if server.move is not None and not server.move.done and server.move.new_user_data:
        return server.move.sealed_user_data
    return servers.sealed_user_data(session, server.id)


def hand_over(session: Session, server_id: str, old_host: str, host: str, attempt: int, power_state: int) -> None:
    """The server's ports and volumes go from one side of its move to the other."""
    port_bindings.hand_over(session, server_id, old_host, host, attempt)
    volume_attachments.hand_over(session, server_id, old_host, host, attempt)
    session.flush()
    ports.set_status_of_device(session, server_id, "ACTIVE" if power_state == PowerState.RUNNING else "DOWN")


def _more(held: Flavor, other: Flavor) -> dict[str, int]:
    """What the other flavor takes of a quota beyond the one that is counted."""
    return {
        "more_vcpus": max(0, other.vcpus - held.vcpus),
        "more_ram_mb": max(0, other.ram_mb - held.ram_mb),
    }


def _flavor(flavor: Flavor) -> dict[str, Any]:
    return {"flavor": flavor.model_dump(mode="json"), "flavor_id": flavor.id}


def _rebuilt(session: Session, server: Server, move: Move) -> dict[str, Any]:
    if move.rebuilt is None:
        return {}
    if move.new_user_data:
        row = session.get(UserDataRow, server.id)
        if move.sealed_user_data is not None:
            session.merge(UserDataRow(server_id=server.id, sealed=move.sealed_user_data))
        elif row is not None:
            session.delete(row)
    values = move.rebuilt.model_dump(mode="json")
    return {"server_metadata": values.pop("metadata"), **values}


def _image_properties(session: Session, image_id: str | None) -> dict[str, str]:
    try:
        found = images.get(session, image_id, None, everything=True).properties if image_id else {}
    except NotFound:
        found = {}
    return {name: str(value) for name, value in found.items()}


def _write(session: Session, server_id: str, op: str, move: Move, **values: Any) -> None:
    row = servers.held_row(session, server_id, op)
    assert row is not None
    servers.write_row(session, row, move=move.model_dump(mode="json"), **values)
    session.flush()
