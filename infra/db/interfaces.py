"""Network interfaces that come to a server that is there, or leave it: the transactions on its row and on what holds
the port meanwhile.

The port itself is made, bound and let go of by the Network Service, in calls that workers make.
"""

import uuid
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import delete
from sqlmodel import Session, col, select

from infra.db import actions, attachments, boot_requests, idempotency, networks, ports, servers
from infra.db.tables.interfaces import InterfaceChangeRow
from infra.db.tables.servers import ServerRow
from infra.db.types import now
from infra.domain import boot_rules
from infra.domain.errors import BadRequest, Conflict, NotFound
from infra.domain.network import Port
from infra.domain.server import PowerState, RequestedNetwork, Server

ATTACH, DETACH = "attach", "detach"


class InterfaceWish(BaseModel):
    """What is asked for: a port of the user's, or one that is made; on the project's only network where none is
    named."""

    model_config = ConfigDict(frozen=True)

    port_id: str | None = None
    network_id: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None
    any_project: bool = False
    """An administrator asks: ports and networks of any project will do."""


class InterfaceChange(BaseModel):
    """An attach or detach under way."""

    model_config = ConfigDict(frozen=True)

    port_id: str
    server_id: str
    project_id: str
    network_id: str
    created: bool
    attachment_id: str
    host: str
    attempt: int
    kind: str
    op: str
    since: datetime
    hostname: str = ""
    """The server's, for DHCP; known where the change begins."""

    @property
    def workflow_id(self) -> str:
        return workflow_id(self.server_id, self.port_id)


def workflow_id(server_id: str, port_id: str) -> str:
    return f"server/{server_id}/interface/{port_id}"


def check(session: Session, server: Server, wish: InterfaceWish) -> None:
    """Whether the server may get it now: ``begin`` asks again.

    Raises:
        NotFound: no such port or network.
        Conflict: a verb holds the server, its state does not allow it, or the port or the address is in use.
        BadRequest: there are several networks, or none, or what is named has no room for it.
    """
    attachments.check_state(server, "attach_interface")
    _network(session, server, wish)


def begin(
    session: Session, server_id: str, wish: InterfaceWish, *, port_id: str, attachment_id: str, user_id: str, op: str
) -> InterfaceChange:
    """Hold the port for the server; ``port_id`` is the user's own, or of the one that is to be made. Raises as
    ``check``."""
    server = attachments.usable(session, server_id, "attach_interface")
    attachments.check_open(session, attachment_id)
    if wish.port_id is not None:
        # Two servers may ask for it at once.
        ports.row_of(session, port_id, lock=True)
    held = session.get(InterfaceChangeRow, port_id)
    if held is not None and (held.server_id, held.op) == (server_id, op):
        return _change(held, server)
    if held is not None:
        raise _busy(port_id)
    network_id, created = _network(session, server, wish), wish.port_id is None
    entry = RequestedNetwork(
        network_id=network_id,
        port_id=port_id,
        created=created,
        fixed_ip=wish.fixed_ip,
        tag=wish.tag,
        attachment_id=attachment_id,
    )
    _write_networks(session, server_id, (*server.networks, entry))
    actions.start(session, server, op, "attach_interface", user_id)
    return _hold(session, server, entry, ATTACH, op)


def withdraw(session: Session, server_id: str, port_id: str, attachment_id: str) -> None:
    """Undo of ``begin``; not there is success, and one that comes later is refused."""
    servers.lock(session, server_id)
    idempotency.bury(session, f"{attachment_id}/begin")
    row = session.get(InterfaceChangeRow, port_id)
    if row is not None and row.attachment_id == attachment_id:
        session.delete(row)
    server = servers.find(session, server_id)
    if server is not None:
        left = tuple(entry for entry in server.networks if entry.attachment_id != attachment_id)
        _write_networks(session, server_id, left)


def complete(session: Session, server_id: str, port_id: str, op: str) -> None:
    """The guest has it, or gets it when it starts. A delete may have been quicker."""
    servers.lock(session, server_id)
    row = session.get(InterfaceChangeRow, port_id)
    if row is None or row.op != op:
        return
    session.delete(row)
    actions.finish(session, server_id, op)
    server = servers.find(session, server_id)
    port = ports.get_many(session, [port_id]).get(port_id)
    if server is not None and port is not None and port.device_id == server_id:
        ports.update(session, port_id, {"status": "ACTIVE" if server.power_state == PowerState.RUNNING else "DOWN"})


def begin_detach(session: Session, server_id: str, port_id: str, *, user_id: str, op: str) -> InterfaceChange:
    """Hold the port for its way out; a repeat finds it held.

    Raises:
        NotFound: the server has no such port.
        Conflict: a verb holds the server, its state does not allow it, or the port is held already.
    """
    server = attachments.usable(session, server_id, "detach_interface")
    attachments.check_open(session, f"{server_id}/{op}")
    held = session.get(InterfaceChangeRow, port_id)
    if held is not None and (held.server_id, held.op) == (server_id, op):
        return _change(held, server)
    port = attached(session, server_id, port_id)
    if held is not None:
        raise _busy(port_id)
    entry = next((entry for entry in server.networks if entry.port_id == port_id), None)
    entry = entry or RequestedNetwork(network_id=port.network_id, port_id=port_id)
    actions.start(session, server, op, "detach_interface", user_id)
    return _hold(session, server, entry, DETACH, op)


def attached(session: Session, server_id: str, port_id: str) -> Port:
    """Raises NotFound if the server has no such port."""
    for port in ports.of_devices(session, [server_id])[server_id]:
        if port.id == port_id:
            return port
    raise NotFound(f"Port {port_id} is not attached to instance {server_id}.", kind="PortNotFound")


def roll_back_detach(session: Session, server_id: str, port_id: str, op: str) -> None:
    """The guest keeps it; a beginning that comes later is refused."""
    servers.lock(session, server_id)
    idempotency.bury(session, f"{server_id}/{op}/begin")
    row = session.get(InterfaceChangeRow, port_id)
    if row is not None and row.op == op:
        session.delete(row)


def end(session: Session, server_id: str, port_id: str, op: str) -> None:
    """The server has it no more. Not there, or held by another by now, is success."""
    servers.lock(session, server_id)
    actions.finish(session, server_id, op)
    row = session.get(InterfaceChangeRow, port_id)
    if row is None or row.op != op:
        return
    session.delete(row)
    server = servers.find(session, server_id)
    if server is not None:
        _write_networks(session, server_id, tuple(entry for entry in server.networks if entry.port_id != port_id))


def of_server(session: Session, server_id: str) -> dict[str, InterfaceChange]:
    """What is under way, by port."""
    rows = session.exec(select(InterfaceChangeRow).where(InterfaceChangeRow.server_id == server_id))
    return {row.port_id: _change(row) for row in rows}


def held(session: Session, before: datetime) -> list[InterfaceChange]:
    """What has been under way since ``before``, longest first."""
    query = select(InterfaceChangeRow).where(col(InterfaceChangeRow.since) < before)
    return [_change(row) for row in session.exec(query.order_by(col(InterfaceChangeRow.since)))]


def take(session: Session, server_id: str, port_id: str, seen_op: str, op: str, why: str) -> InterfaceChange | None:
    """Hold the port for a repair; None: nobody has to repair it any more."""
    servers.lock(session, server_id)
    row = session.get(InterfaceChangeRow, port_id)
    if row is None or row.op not in (seen_op, op):
        return None
    if row.op != op:
        # Neither the attach nor the detach of the lost run may begin any more.
        idempotency.bury(session, f"{row.attachment_id}/begin")
        idempotency.bury(session, f"{server_id}/{seen_op}/begin")
        actions.finish(session, server_id, seen_op, why)
        row.op = op
        session.add(row)
    return _change(row)


def forget(session: Session, server_id: str, owing: set[str]) -> None:
    """The server is over, and so is what was under way, but on hosts that owe its clean-up."""
    gone = delete(InterfaceChangeRow).where(col(InterfaceChangeRow.server_id) == server_id)
    session.execute(gone.where(col(InterfaceChangeRow.host).not_in(owing)))


def _network(session: Session, server: Server, wish: InterfaceWish) -> str:
    if wish.port_id is not None:
        port = ports.get(session, wish.port_id)
        if port.project_id != server.project_id and not wish.any_project:
            raise NotFound(f"Port {wish.port_id} could not be found.", kind="PortNotFound")
        boot_rules.check_port(port)
        return port.network_id
    network_id = wish.network_id or _only_network(session, server.project_id)
    network = networks.get_bare(session, network_id)
    if not (wish.any_project or network.shared or network.external or network.project_id == server.project_id):
        raise NotFound(f"Network {network_id} could not be found.", kind="NetworkNotFound")
    boot_requests.check_room(session, network, wish.fixed_ip)
    return network.id


def _only_network(session: Session, project_id: str) -> str:
    try:
        only = boot_rules.only_network(networks.attachable(session, project_id))
    except Conflict as several:
        # Of a boot this is a conflict, of an interface it is a bad request: so has Nova it.
        raise BadRequest(several.message, kind=several.kind) from None
    if only is None:
        raise BadRequest("No networks are available for the project.", kind="InterfaceAttachFailedNoNetwork")
    return only.id


def _hold(session: Session, server: Server, entry: RequestedNetwork, kind: str, op: str) -> InterfaceChange:
    row = InterfaceChangeRow(
        port_id=entry.port_id,
        server_id=server.id,
        project_id=server.project_id,
        network_id=entry.network_id,
        created=entry.created,
        attachment_id=entry.attachment_id or str(uuid.uuid5(uuid.UUID(server.id), f"interface/{entry.port_id}")),
        host=str(server.host),
        attempt=server.attempt,
        kind=kind,
        op=op,
        since=now(),
    )
    session.add(row)
    session.flush()
    return _change(row, server)


def _write_networks(session: Session, server_id: str, entries: tuple[RequestedNetwork, ...]) -> None:
    row = session.get(ServerRow, server_id)
    assert row is not None
    written = [entry.model_dump(mode="json") for entry in entries]
    if row.networks != written:
        servers.write_row(session, row, networks=written)


def _change(row: InterfaceChangeRow, server: Server | None = None) -> InterfaceChange:
    return InterfaceChange(**row.model_dump(), hostname=server.hostname if server is not None else "")


def _busy(port_id: str) -> Conflict:
    return Conflict(f"Port {port_id} is being attached or detached already.", kind="PortInUse")
