"""What is shown with servers and kept elsewhere: addresses, volumes, the host's zone, the group. One query a kind."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlmodel import Session

from infra.db import floating_ips, groups, hosts, networks, ports, security_groups, server_details
from infra.domain.host import Host
from infra.domain.network import Port
from infra.domain.router import FloatingIp
from infra.domain.server import Server
from infra.domain.volume import VolumeAttachment


@dataclass
class Surroundings:
    """Of one server."""

    ports: list[Port] = field(default_factory=list)
    floating: dict[str, list[FloatingIp]] = field(default_factory=dict)
    """By port."""
    network_names: dict[str, str] = field(default_factory=dict)
    attachments: list[VolumeAttachment] = field(default_factory=list)
    host: Host | None = None
    group_id: str | None = None
    security_groups: tuple[str, ...] = ()
    """Names."""


def gather(session: Session, found: Sequence[Server], *, group: bool = False) -> dict[str, Surroundings]:
    """By server id. ``group``: with the server group, which lists do not show."""
    ids = tuple(server.id for server in found)
    around = {id: Surroundings() for id in ids}
    if not ids:
        return around
    plugged = [port for of_one in ports.of_devices(session, ids).values() for port in of_one]
    names = networks.names(session, sorted({port.network_id for port in plugged}))
    floating = floating_ips.of_ports(session, [port.id for port in plugged])
    for port in plugged:
        around[port.device_id].ports.append(port)
        around[port.device_id].floating[port.id] = floating[port.id]
    for attachment in server_details.attachments(session, ids):
        around[attachment.server_id].attachments.append(attachment)
    placed = {host.name: host for host in hosts.snapshot(session, {s.host for s in found if s.host})}
    _name_groups(session, found, around)
    for server in found:
        own = around[server.id]
        own.network_names = names
        own.host = placed.get(server.host or "")
        if group:
            joined = groups.of_server(session, server.id)
            own.group_id = joined.id if joined else None
    return around


def _name_groups(session: Session, found: Sequence[Server], around: dict[str, Surroundings]) -> None:
    """Of the ports, or before there are any of the request; the request keeps the ids of groups."""
    by_server = {
        server.id: {g for port in around[server.id].ports for g in port.security_group_ids}
        if around[server.id].ports
        else server.security_groups
        for server in found
    }
    ids = tuple(sorted({group for wanted in by_server.values() for group in wanted}))
    names = security_groups.names(session, ids) if ids else {}
    for server in found:
        own = around[server.id]
        own.security_groups = tuple(sorted({names[g] for g in by_server[server.id] if g in names}))
        if not own.ports and server.networks:
            own.security_groups = own.security_groups or (security_groups.DEFAULT,)
