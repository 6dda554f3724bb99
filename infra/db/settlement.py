"""What a host does with the database by way of the compute API: what it should have, what it owes, what it has paid."""

import contextlib
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlmodel import Session, col, select

from infra.db import attachments, claims, debts, hosts, port_bindings, ports, servers, volume_attachments, volumes
from infra.db.tables.network import NetworkRow, PortRow
from infra.db.tables.servers import ServerRow
from infra.domain.errors import BadRequest
from infra.domain.server import Server, VmState
from infra.domain.volume import VolumeAttachment


class Expected(BaseModel):
    """A server that a host should have, or that is being made there now."""

    model_config = ConfigDict(frozen=True)

    server_id: str
    attempt: int
    vm_state: str
    task_state: str | None


def expected(session: Session, host: str) -> list[Expected]:
    query = select(ServerRow).where(col(ServerRow.host) == host, col(ServerRow.vm_state) != VmState.DELETED)
    return [
        Expected(server_id=row.id, attempt=row.attempt, vm_state=row.vm_state, task_state=row.task_state)
        for row in session.exec(query)
    ]


def owed(session: Session, host: str) -> list[dict[str, Any]]:
    """What the host owes, each with the ids of the ports that the attempt had there."""
    return [
        {**debt.model_dump(), "ports": port_bindings.of_attempt(session, host, debt.server_id, debt.attempt)}
        for debt in debts.owed(session, host)
    ]


def settle(session: Session, host: str, server_id: str, attempt: int) -> None:
    """The host has removed everything of this attempt: what was kept from others is given back.

    Only what the attempt had on this host: a later attempt, here or elsewhere, has ports and attachments of its own.
    """
    server = servers.find(session, server_id)
    debts.pay(session, host, server_id, attempt)
    claims.release(session, server_id, attempt)
    kept = {entry.port_id for entry in server.networks if not entry.created} if server else set()
    for port_id in port_bindings.of_attempt(session, host, server_id, attempt):
        if port_id in kept:
            port_bindings.unbind(session, port_id)
        else:
            ports.delete(session, port_id)
    for attachment in attachments.of_server(session, server_id):
        if attachment.host == host and attachment.attempt <= attempt:
            volume_attachments.detach(session, attachment.id)
            _end_with_server(session, server, attachment)


def _end_with_server(session: Session, server: Server | None, attachment: VolumeAttachment) -> None:
    """Delete a volume that was to go with its server, or that a boot which came to nothing had made."""
    if server is None or server.vm_state not in (VmState.DELETED, VmState.ERROR):
        return
    device = next((d for d in server.block_devices if d.volume_id == attachment.volume_id), None)
    undone = device is not None and device.created and server.launched_at is None
    if undone or attachment.delete_on_termination or (device is not None and device.delete_on_termination):
        # A volume that snapshots were made of meanwhile stays.
        with contextlib.suppress(BadRequest):
            volumes.begin_delete(session, attachment.volume_id, None)


def power_states(session: Session, host: str, states: dict[str, int]) -> None:
    """What the host sees of its guests: one that stopped by itself is SHUTOFF, one that runs again is ACTIVE."""
    for server in servers.list_servers(session, host=host):
        seen = states.get(server.id)
        if seen is None or server.task_state is not None:
            continue
        values: dict[str, Any] = {}
        if seen == 4 and server.vm_state is VmState.ACTIVE:
            values["vm_state"] = VmState.STOPPED
        elif seen == 1 and server.vm_state is VmState.STOPPED:
            values["vm_state"] = VmState.ACTIVE
        if values or seen != server.power_state:
            servers.set_power_state(session, server.id, seen, **values)


def peers(session: Session, host: str) -> dict[int, list[str]]:
    """Tunnel addresses of the other hosts that have guests in this host's networks, by VNI."""
    here = select(PortRow.network_id).where(col(PortRow.host) == host).distinct()
    query = (
        select(NetworkRow.vni, PortRow.host)
        .join(PortRow, col(PortRow.network_id) == col(NetworkRow.id))
        .where(col(NetworkRow.id).in_(here), col(PortRow.host) != "")
        .distinct()
    )
    found: dict[int, set[str]] = {}
    for vni, name in session.exec(query):
        found.setdefault(vni, set()).update({name} - {host})
    names = {name for of_one in found.values() for name in of_one}
    tunnels = {known.name: known.report.tunnel_ip for known in hosts.snapshot(session, names)} if names else {}
    return {vni: sorted({tunnels[name] for name in of_one if name in tunnels}) for vni, of_one in found.items()}
