"""What a server was given when it was admitted, and what it still has when it is deleted."""

from sqlmodel import Session

from activities.models import Admitted, Attempt, PortRef, VolumeRef
from infra.db import admission, attachments, claims, ports, shelving
from infra.domain.server import Server, VmState
from infra.temporal.history import History


class Remains(History):
    """What a server that is being deleted still has, and where; what an earlier host owes is that one's to remove."""

    server_id: str
    project_id: str
    name: str = ""
    host: str | None = None
    attempt: int = 0
    hostname: str = ""
    images: tuple[str, ...] = ()
    ports: tuple[PortRef, ...] = ()
    volumes: tuple[VolumeRef, ...] = ()
    offloaded: bool = False
    """It is shelved, and on no host; ``attempt`` is the one that it was left with."""
    shelved_image_id: str = ""
    others: tuple[Attempt, ...] = ()
    """What a move has, or left, on other hosts."""


def admitted(server: Server) -> Admitted:
    return Admitted(
        server_id=server.id,
        name=server.name,
        images=server.images,
        ports=tuple(
            PortRef(port_id=entry.port_id, network_id=entry.network_id, created=entry.created, fixed_ip=entry.fixed_ip)
            for entry in server.networks
        ),
        volumes=tuple(
            VolumeRef(
                attachment_id=admission.attachment_id(server.id, entry.volume_id),
                volume_id=entry.volume_id,
                source_type=entry.source_type,
                image_id=entry.image_id,
                snapshot_id=entry.snapshot_id,
                size_gb=entry.size_gb,
                boot_index=entry.boot_index,
                device=entry.device_name,
                delete_on_termination=entry.delete_on_termination,
            )
            for entry in server.block_devices
            if entry.volume_id
        ),
        security_groups=server.security_groups,
    )


def of(session: Session, server: Server) -> Remains:
    """Of a server that a delete has taken."""
    offloaded = server.vm_state is VmState.SHELVED_OFFLOADED and not shelving.leave_to_debtor(session, server)
    made = admitted(server)
    return Remains(
        server_id=server.id,
        project_id=server.project_id,
        name=server.name,
        host=server.host,
        attempt=server.attempt,
        hostname=server.hostname,
        images=made.images,
        ports=_ports(session, server),
        volumes=_volumes(session, server, made),
        offloaded=offloaded,
        shelved_image_id=server.shelved_image_id or "",
        others=tuple(
            Attempt(server_id=server.id, number=claim.attempt, host=claim.host)
            for claim in claims.of_server(session, server.id)
            if server.host is not None and claim.host != server.host and not claim.quarantined
        ),
    )


def _ports(session: Session, server: Server) -> tuple[PortRef, ...]:
    asked = {entry.port_id: entry for entry in server.networks}
    return tuple(
        PortRef(
            port_id=port.id,
            network_id=port.network_id,
            created=port.id not in asked or asked[port.id].created,
        )
        for port in ports.of_devices(session, [server.id])[server.id]
        if port.host == (server.host or "")
    )


def _volumes(session: Session, server: Server, made: Admitted) -> tuple[VolumeRef, ...]:
    ending = {volume.volume_id for volume in made.volumes if volume.delete_on_termination}
    return tuple(
        VolumeRef(
            attachment_id=attachment.id,
            volume_id=attachment.volume_id,
            delete_on_termination=attachment.delete_on_termination or attachment.volume_id in ending,
        )
        for attachment in attachments.of_server(session, server.id)
        if attachment.host == server.host
    )
