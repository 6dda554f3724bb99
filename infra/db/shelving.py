"""Shelved servers: saved as an image, then on no host, where they keep their ports, addresses and volumes.

What is kept is bound to no host; the attempt it was left with names it until another one takes it.
"""

from typing import Any

from sqlmodel import Session

from infra.db import (
    actions,
    claims,
    debts,
    hosts,
    images,
    move_checks,
    port_bindings,
    ports,
    servers,
    settlement,
    stuck_undos,
    volume_attachments,
)
from infra.domain.server import PowerState, Server, TaskState, Verb, VmState


def shelve(session: Session, server_id: str, op: str, image_id: str | None) -> bool:
    """It is saved, and leaves its host next. False: a delete has taken it; True also for a repeat.

    Args:
        image_id: None for a server whose disk is a volume.
    """
    row = servers.held_row(session, server_id, op)
    if row is None:
        return False
    values: dict[str, Any] = {"vm_state": VmState.SHELVED, "task_state": TaskState.SHELVING_OFFLOADING}
    servers.write_row(session, row, **values, shelved_image_id=image_id, power_state=PowerState.SHUTDOWN)
    ports.set_status_of_device(session, server_id, "DOWN")
    return True


def begin_offload(session: Session, server_id: str, op: str, user_id: str) -> Server:
    """Take a shelved server off its host; a repeat, and the request that has shelved it, find it taken.

    Raises:
        NotFound: no such server.
        Conflict: it is not shelved or on no host already, or another verb holds it.
    """
    servers.lock(session, server_id)
    move_checks.check_not_given_up(session, server_id, op)
    server = servers.begin_verb(session, server_id, Verb.SHELVE_OFFLOAD, op)
    actions.start(session, server, op, Verb.SHELVE_OFFLOAD, user_id)
    return server


def offload(session: Session, server_id: str, op: str) -> bool:
    """Its host has nothing of it any more. False: a delete has taken it, or this is a repeat."""
    row = servers.held_row(session, server_id, op)
    actions.finish(session, server_id, op)
    if row is None or row.host is None:
        return False
    _bind(session, server_id, row.host, "", row.attempt)
    claims.release(session, server_id, row.attempt)
    servers.write_row(session, row, vm_state=VmState.SHELVED_OFFLOADED, host=None, task_state=None, op=None)
    stuck_undos.say_of_holder(session, server_id, None)
    return True


def leave_off(session: Session, server_id: str, op: str) -> bool:
    """As ``offload``, of a host that an operator says is surely off: it owes the clean-up, should it come back.

    False: nobody says so, or the server is another verb's.
    """
    row = servers.held_row(session, server_id, op)
    if row is None or row.host is None or not hosts.is_fenced(session, row.host):
        return False
    what = f"The server was shelved while host {row.host} was off."
    debt = debts.Debt(host=row.host, server_id=server_id, attempt=row.attempt, what=what)
    offload(session, server_id, op)
    settlement.owe(session, debt)
    return True


def end(session: Session, server: Server) -> dict[str, Any]:
    """What of a server's row changes when it is on a host again; the image that it was saved as goes."""
    image_id = server.shelved_image_id
    if image_id is not None:
        images.withdraw(session, image_id, images.server_key(server.id, server.attempt, image_id))
    return {"shelved_image_id": None, "availability_zone": server.moved.availability_zone}


def leave_to_debtor(session: Session, server: Server) -> bool:
    """Of a shelved server that is deleted: while a host may still run what an unshelve began there, its ports and
    volumes are kept from others until that host has paid. False: there is no such host."""
    for debt in debts.owed(session, server_id=server.id):
        if debt.attempt > server.attempt and not hosts.is_fenced(session, debt.host):
            _bind(session, server.id, "", debt.host, debt.attempt)
            return True
    return False


def _bind(session: Session, server_id: str, old_host: str, host: str, attempt: int) -> None:
    port_bindings.hand_over(session, server_id, old_host, host, attempt)
    volume_attachments.hand_over(session, server_id, old_host, host, attempt)
