"""What must be so before a verb may take a server, beyond the server's own state. Each raises where it is not."""

from sqlmodel import Session, col, select

from infra.db import debts, hosts, idempotency, interfaces, servers
from infra.db.tables.volume import AttachmentRow
from infra.domain.errors import BadRequest, Conflict, NotFound
from infra.domain.server import Server


def check_not_given_up(session: Session, server_id: str, op: str) -> None:
    """Raises Conflict for a verb that was given up before it began."""
    if idempotency.is_buried(session, servers.verb_key(server_id, op)):
        raise Conflict("The request was given up before it was admitted.", kind="AttemptClosed")


def check_alone(session: Session, server: Server) -> None:
    """Nothing of the server may be touched while a later attempt, which was given up, may still run elsewhere.

    Raises:
        Conflict: its host has not confirmed that it is gone, and no operator has said that the host is off.
    """
    for debt in debts.owed(session, server_id=server.id):
        if debt.attempt > server.attempt and debt.host != server.host and not hosts.is_fenced(session, debt.host):
            raise Conflict(f"A host has yet to confirm that a move of instance {server.id} is undone there.")


def check_target(session: Session, server: Server, host: str | None) -> None:
    """Raises BadRequest for a host that an administrator names and that is not there, or is where the server is."""
    if host is None:
        return
    if host == server.host:
        raise BadRequest("The target host can't be the same one.")
    try:
        hosts.get(session, host)
    except NotFound as error:
        raise BadRequest(error.message) from None


def check_evacuation(session: Session, server: Server, to_host: str | None, silent_since: float) -> None:
    """
    Args:
        to_host: the host that an administrator names.

    Raises:
        BadRequest: the server's host runs its servers still, as far as anybody knows, or the other is not there.
    """
    check_target(session, server, to_host)
    own = hosts.snapshot(session, {str(server.host)})
    if any(not host.forced_down and host.reported_at.timestamp() > silent_since for host in own):
        raise BadRequest(f"Compute service of {server.host} is still in use.")


def check_devices_at_rest(session: Session, server: Server, kind: str) -> None:
    """Raises Conflict while a volume or an interface comes or goes."""
    query = select(AttachmentRow).where(col(AttachmentRow.server_id) == server.id)
    if any(row.op is not None or row.status != "attached" for row in session.exec(query)):
        raise Conflict(f"Cannot '{kind}' instance {server.id} while a volume of it is being attached or detached")
    if interfaces.of_server(session, server.id):
        raise Conflict(f"Cannot '{kind}' instance {server.id} while an interface of it is being attached or detached")
