"""What a host does with the database by way of the compute API: what it should have, what it owes, what it has paid."""

import contextlib
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlmodel import Session, col, select

from infra.db import (
    attachments,
    claims,
    debts,
    host_routers,
    hosts,
    interfaces,
    port_bindings,
    ports,
    servers,
    volume_attachments,
    volumes,
)
from infra.db.tables.network import NetworkRow, PortRow
from infra.domain.errors import BadRequest, NotFound
from infra.domain.server import Server, VmState
from infra.domain.volume import VolumeAttachment


class Expected(BaseModel):
    """A server that a host should have, or that is being made there now."""

    model_config = ConfigDict(frozen=True)

    server_id: str
    attempts: tuple[int, ...]
    """One, or two of a server that moves."""
    vm_state: str
    task_state: str | None
    ports: tuple[str, ...]
    images: tuple[str, ...]


def expected(session: Session, host: str) -> list[Expected]:
    """What rows say is here, and what has room here: a server that moves has two attempts, here or elsewhere."""
    attempts: dict[str, set[int]] = {}
    here = {server.id: server for server in servers.list_servers(session, host=host)}
    for server in here.values():
        attempts[server.id] = {server.attempt} | ({server.kept[1]} if server.kept and server.kept[0] == host else set())
    for claim in claims.of_host(session, host):
        if not claim.quarantined:
            attempts.setdefault(claim.server_id, set()).add(claim.attempt)
    elsewhere = [servers.find(session, server_id) for server_id in attempts.keys() - here.keys()]
    found = [*here.values(), *(one for one in elsewhere if one is not None and one.vm_state is not VmState.DELETED)]
    bound = ports.of_devices(session, [server.id for server in found])
    return [
        Expected(
            server_id=server.id,
            attempts=tuple(sorted(attempts[server.id])),
            vm_state=server.vm_state,
            task_state=server.task_state,
            ports=tuple(port.id for port in bound[server.id] if port.host == host),
            images=server.images,
        )
        for server in found
    ]


def owed(session: Session, host: str) -> list[dict[str, Any]]:
    """What the host owes, each with the ids of the ports that the attempt had there."""
    return [
        {**debt.model_dump(), "ports": _ports_of(session, host, debt.server_id, debt.attempt)}
        for debt in debts.owed(session, host)
    ]


def owe(session: Session, debt: debts.Debt) -> None:
    """Leave the clean-up of an attempt to its host; what its guest could still touch is kept from others."""
    debts.owe(session, debt)
    claims.quarantine(session, debt.server_id, debt.attempt)
    if hosts.is_fenced(session, debt.host):
        _give_back(session, debt.host, debt.server_id, debt.attempt)


def fence(session: Session, host: str, forced_down: bool) -> None:
    """An operator says that a host is surely off (or is not any more): what it owes can't touch anything, and is given
    back. The host still owes the clean-up itself, should it come back.

    Raises:
        NotFound: there is no such host.
    """
    hosts.force_down(session, host, forced_down)
    if forced_down:
        host_routers.leave(session, host)
    for debt in debts.owed(session, host) if forced_down else ():
        _give_back(session, host, debt.server_id, debt.attempt)


def settle(session: Session, host: str, server_id: str, attempt: int) -> None:
    """The host has removed everything of this attempt: what was kept from others is given back."""
    debts.pay(session, host, server_id, attempt)
    _give_back(session, host, server_id, attempt)


def _give_back(session: Session, host: str, server_id: str, attempt: int) -> None:
    """Claim, ports with their addresses, and volumes.

    Only what the attempt had on this host: a later attempt, here or elsewhere, has ports and attachments of its own,
    and so has the one that a move went back to.
    """
    server = servers.find(session, server_id)
    claims.release(session, server_id, attempt)
    free_ports(session, server, _ports_of(session, host, server_id, attempt))
    living = _living(server, attempt)
    for attachment in attachments.of_server(session, server_id):
        if attachment.host == host and attachment.attempt <= attempt and attachment.attempt != living:
            volume_attachments.let_go(session, attachment.id)
            _end_with_server(session, server, attachment)


def _ports_of(session: Session, host: str, server_id: str, attempt: int) -> list[str]:
    living = _living(servers.find(session, server_id), attempt)
    return port_bindings.of_attempt(session, host, server_id, attempt, but=living)


def _living(server: Server | None, attempt: int) -> int | None:
    """The attempt that a server has, where that is not the one that is over."""
    return server.attempt if server is not None and server.host is not None and server.attempt != attempt else None


def release_all(session: Session, server_id: str) -> None:
    """The server is over: close every attempt at it, and give back all it has left but for what a host still owes.

    After a run that went its way there is nothing left but the claim; after one that was lost there may be ports,
    attachments and volumes that came when nobody looked for them any more.
    """
    claims.release_all(session, server_id)
    server = servers.find(session, server_id)
    owing = {debt.host for debt in debts.owed(session, server_id=server_id)}
    bound = ports.of_devices(session, [server_id])[server_id]
    free_ports(session, server, [port.id for port in bound if port.host not in owing])
    interfaces.forget(session, server_id, owing)
    for attachment in attachments.of_server(session, server_id):
        if attachment.host is not None and attachment.host not in owing:
            volume_attachments.let_go(session, attachment.id)
    if server is not None and server.launched_at is None:
        for device in server.block_devices:
            if device.created and device.volume_id is not None:
                _delete_volume(session, device.volume_id, force=True)


def free_ports(session: Session, server: Server | None, port_ids: list[str]) -> None:
    """Delete the ports, but for the user's own."""
    kept = {entry.port_id for entry in server.networks if not entry.created} if server else set()
    for port_id in port_ids:
        if port_id in kept:
            port_bindings.unbind(session, port_id)
        else:
            ports.delete(session, port_id)


def _delete_volume(session: Session, volume_id: str, *, force: bool = False) -> None:
    """One that is attached, or that snapshots were made of meanwhile, stays."""
    with contextlib.suppress(BadRequest, NotFound):
        volumes.begin_delete(session, volume_id, None, force=force)


def _end_with_server(session: Session, server: Server | None, attachment: VolumeAttachment) -> None:
    """Delete a volume that was to go with its server, or that a boot which came to nothing had made."""
    if server is None or server.vm_state not in (VmState.DELETED, VmState.ERROR):
        return
    device = next((d for d in server.block_devices if d.volume_id == attachment.volume_id), None)
    undone = device is not None and device.created and server.launched_at is None
    if undone or attachment.delete_on_termination or (device is not None and device.delete_on_termination):
        _delete_volume(session, attachment.volume_id)


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
