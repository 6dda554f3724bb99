"""A move that is done and waits: the transactions that confirm it, or take it back; a rescue is only taken back."""

from sqlmodel import Session

from infra.db import actions, claims, idempotency, move_checks, moves, servers
from infra.db.types import now
from infra.domain.errors import Conflict
from infra.domain.move import MoveKind
from infra.domain.server import Fault, PowerState, Server, Verb, VmState


def begin(session: Session, server_id: str, op: str, verb: str, user_id: str) -> Server:
    """Take the server for the end of its move; a repeat finds it taken.

    Raises:
        NotFound: no such server.
        Conflict: it waits for no confirmation and is in no rescue, or another verb holds it.
    """
    servers.lock(session, server_id)
    move_checks.check_not_given_up(session, server_id, op)
    server = servers.begin_verb(session, server_id, Verb(verb), op)
    if server.move is None:
        raise Conflict(f"Cannot '{verb}' instance {server_id}: it has not moved")
    actions.start(session, server, op, verb, user_id)
    return server


def withdraw(session: Session, server_id: str, op: str, message: str) -> None:
    """Undo of ``begin``: the server waits again; a beginning that comes later is refused."""
    servers.lock(session, server_id)
    idempotency.bury(session, servers.verb_key(server_id, op))
    actions.finish(session, server_id, op, message)
    servers.end_verb(session, server_id, op)


def confirm(session: Session, server_id: str, op: str) -> bool:
    """The server is its new side for good. False: a delete has taken it."""
    row = servers.held_row(session, server_id, op)
    actions.finish(session, server_id, op)
    if row is None or row.move is None:
        return False
    servers.write_row(session, row, vm_state=row.move["vm_state"], move=None, task_state=None, op=None)
    return True


def revert(session: Session, server_id: str, op: str, *, power_state: int, message: str | None) -> bool:
    """The server is the side that it was. False: a delete has taken it.

    Args:
        message: why its guest is not back; None where it is.
    """
    row = servers.held_row(session, server_id, op)
    actions.finish(session, server_id, op, message)
    server = servers.to_server(row) if row is not None else None
    if row is None or server is None or server.move is None:
        return False
    move = server.move
    moves.hand_over(session, server_id, str(server.host), move.host, move.attempt, power_state)
    state = VmState.ACTIVE if move.kind is MoveKind.RESCUE else move.vm_state
    if move.kind is MoveKind.RESCUE:
        claims.renumber(session, server_id, server.attempt, move.attempt)
    fault = Fault(code=500, message=message, created=now()).model_dump(mode="json") if message else row.fault
    servers.write_row(
        session,
        row,
        host=move.host,
        attempt=move.attempt,
        flavor=move.flavor.model_dump(mode="json"),
        flavor_id=move.flavor.id,
        vm_state=VmState.ERROR if message else state,
        power_state=PowerState.NOSTATE if message else power_state,
        fault=fault,
        move=None,
        task_state=None,
        op=None,
    )
    return True
