"""A host's rows compared with each other and with what the host has: what is wrong is put right, or reported.

A server that a request holds is left alone, and so is whatever the host still owes: their own runs and the host see to
those.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlmodel import Session, col, select

from infra.db import attachments, claims, debts, ports, servers, settlement, unmended, volume_attachments
from infra.db.tables.network import PortRow
from infra.db.tables.volume import AttachmentRow
from infra.db.unmended import Unmended
from infra.domain.server import Server, VmState

_WITH_GUEST = frozenset({VmState.ACTIVE, VmState.PAUSED, VmState.SUSPENDED})
_SERIAL = 20
_NO_VOLUMES = {"config-2", "rescue"}
"""Serials of the config drive, and of the disk that a server is rescued with."""


class SeenGuest(BaseModel):
    model_config = ConfigDict(frozen=True)

    server_id: str
    attempt: int
    serials: tuple[str, ...] = ()
    """Of its disks, 20 characters each."""


class Drift(BaseModel):
    """One sentence for each thing."""

    model_config = ConfigDict(frozen=True)

    mended: tuple[str, ...] = ()
    reported: tuple[Unmended, ...] = ()


def settle(
    session: Session, host: str, guests: Mapping[str, SeenGuest] | None, before: datetime, silence: str = ""
) -> Drift:
    """Compare, put right what can be, and keep what can't in place of what the comparison before this one found.

    Args:
        guests: what the host has, by server id; None where it did not say.
        before: when the host was asked; a server that was written later is another one than the host saw.
        silence: why the host did not say, a sentence.
    """
    owing = {debt.server_id for debt in debts.owed(session, host)}
    mended = [*_claims(session, host, owing), *_ports(session, host, owing), *_attachments(session, host, owing)]
    reported = [Unmended(host=host, kind="unseen", what=silence)] if silence else []
    if claims.recount(session, host):
        mended.append(f"Counted anew what is claimed of host {host}.")
    for server in servers.list_servers(session, host=host):
        if _held(server) or server.updated_at >= before:
            continue
        if not any(claim.host == host and not claim.quarantined for claim in claims.of_server(session, server.id)):
            what = f"Server {server.id} is on host {host} and claims nothing of it."
            reported.append(Unmended(host=host, kind="unclaimed", what=what))
        if guests is not None:
            guest = guests.get(server.id)
            if guest is None:
                mended += _without_guest(session, server)
            else:
                reported += _differences(session, host, server, guest)
    unmended.keep(session, host, reported)
    return Drift(mended=tuple(mended), reported=tuple(reported))


def _held(server: Server) -> bool:
    return server.task_state is not None or server.op is not None


def _over(server: Server | None, host: str) -> bool:
    """Nothing of the server should be on this host, and nobody is about to change that."""
    if server is None or server.vm_state is VmState.DELETED:
        return True
    return not _held(server) and host not in (server.host, server.kept[0] if server.kept else None)


def _claims(session: Session, host: str, owing: set[str]) -> Iterator[str]:
    for claim in claims.of_host(session, host):
        server = servers.find(session, claim.server_id)
        live = {(server.host, server.attempt), server.kept} if server is not None else set()
        stale = server is not None and not _held(server) and (claim.host, claim.attempt) not in live
        if claim.server_id not in owing and (stale or _over(server, host)):
            claims.release(session, claim.server_id, claim.attempt)
            yield f"Gave back what attempt {claim.attempt} at server {claim.server_id} had claimed of host {host}."


def _ports(session: Session, host: str, owing: set[str]) -> Iterator[str]:
    query = select(PortRow).where(col(PortRow.host) == host, col(PortRow.bound_by) != "")
    for row in session.exec(query).all():
        server = servers.find(session, row.device_id)
        if row.device_id not in owing and _over(server, host):
            settlement.free_ports(session, server, [row.id])
            yield f"Gave back port {row.id}, which was bound to host {host} for server {row.device_id}."


def _attachments(session: Session, host: str, owing: set[str]) -> Iterator[str]:
    for row in session.exec(select(AttachmentRow).where(col(AttachmentRow.host) == host)).all():
        if row.server_id not in owing and _over(servers.find(session, row.server_id), host):
            volume_attachments.let_go(session, row.id)
            yield f"Detached volume {row.volume_id} from server {row.server_id}, which is not on host {host}."


def _without_guest(session: Session, server: Server) -> Iterator[str]:
    if server.vm_state in _WITH_GUEST:
        servers.set_power_state(session, server.id, 0, VmState.STOPPED)
        ports.set_status_of_device(session, server.id, "DOWN")
        yield f"Server {server.id} was {server.status} and has no guest: it is SHUTOFF now."


def _differences(session: Session, host: str, server: Server, guest: SeenGuest) -> Iterator[Unmended]:
    def tell(kind: str, what: str) -> Unmended:
        return Unmended(host=host, kind=kind, what=what)

    if guest.attempt != server.attempt:
        what = f"The guest of server {server.id} is of attempt {guest.attempt}, its row of attempt {server.attempt}."
        yield tell("other_attempt", what)
    found = attachments.of_server(session, server.id)
    attached = {one.volume_id[:_SERIAL]: one.volume_id for one in found if one.status == "attached"}
    reserved = {one.volume_id[:_SERIAL] for one in found}
    for serial in sorted(attached.keys() - set(guest.serials)):
        what = f"Volume {attached[serial]} is attached to server {server.id}, whose guest does not have it."
        yield tell("missing_volume", what)
    for serial in sorted(set(guest.serials) - reserved - _NO_VOLUMES - {server.id[:_SERIAL]}):
        what = f"The guest of server {server.id} has a disk {serial} that no attachment accounts for."
        yield tell("unknown_disk", what)
