"""A server's moves: what begins one in its row, and how it ends."""

from typing import Any

from sqlmodel import Session

from activities.base import step
from activities.conductor import devices
from activities.models import Attempt
from activities.networks import AllocatedPort
from activities.records import Written
from infra.db import confirmations, moves
from infra.db.engine import Database
from infra.db.move_requests import Rebuild
from infra.domain.move import MoveKind
from infra.domain.pci import PciAlias
from infra.domain.server import PowerState, Server, VmState
from infra.temporal.history import History
from infra.temporal.sealed import Sealed


class BeginMove(History):
    server_id: str
    op: str
    kind: str
    user_id: str
    flavor_id: str | None = None
    rebuild: dict[str, Any] | None = None
    """``infra.db.move_requests.Rebuild``."""
    user_data: Sealed | None = None
    image_id: str | None = None
    """Of a rescue: None is the server's own image."""
    rezoned: bool = False
    zone: str | None = None
    """Where ``rezoned``: its availability zone from now on."""
    host: str | None = None
    silent_since: float = 0.0
    """Of an evacuation: seconds since the epoch; a host that has reported later is up."""


class BegunMove(History):
    """A move as admission has begun it: the attempt that stays, and what the next is made of."""

    server_id: str
    host: str
    attempt: int
    next_attempt: int
    starts: bool = True
    """Whether the next attempt is to run."""
    ran: bool = True
    """Whether the one that stays did."""
    images: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    """Those of them that the guest starts from beside its disk: kernel and ramdisk."""
    old_images: tuple[str, ...] = ()
    disk_gb: int = 0
    """Of the next attempt's own root disk."""
    has_disk: bool = True
    """False: it boots from a volume."""
    shelved_image_id: str = ""


class CompleteMove(History):
    attempt: Attempt
    op: str
    power_state: int


class EndMove(History):
    server_id: str
    op: str
    message: str
    failed: bool = False
    """The guest that was to stay could not be brought back."""


class BeginEnd(History):
    server_id: str
    op: str
    verb: str
    user_id: str
    message: str = ""
    """Why it was given up after it had begun."""


class MoveSides(History):
    """Both attempts of a move that waits for its confirmation."""

    server_id: str
    hostname: str = ""
    kept: Attempt
    new: Attempt
    ran: bool = True
    """Whether the one that is kept did."""
    images: tuple[str, ...] = ()
    new_images: tuple[str, ...] = ()
    """What only the new side is made from, where both are on one host."""
    ports: tuple[AllocatedPort, ...] = ()


class Confirmed(History):
    server_id: str
    op: str


class Reverted(History):
    server_id: str
    op: str
    power_state: int
    message: str | None = None
    """Why the guest was not started."""


class MoveActivities:
    def __init__(self, db: Database, pci_aliases: tuple[PciAlias, ...]) -> None:
        self._db = db
        self._pci_aliases = pci_aliases

    @step("moves.begin", because="the run ends it: with the new side, or as the server was")
    async def begin(self, params: BeginMove) -> BegunMove:
        """Quota, conflicts and the row in one transaction; a repeat finds it begun.

        Raises:
            KilonovaError: the request is refused, by OpenStack's code.
        """
        request = moves.MoveRequest(
            server_id=params.server_id,
            op=params.op,
            kind=MoveKind(params.kind),
            user_id=params.user_id,
            flavor_id=params.flavor_id,
            rebuild=Rebuild.model_validate(params.rebuild) if params.rebuild is not None else None,
            sealed_user_data=params.user_data.model_dump() if params.user_data else None,
            image_id=params.image_id,
            rezoned=params.rezoned,
            zone=params.zone,
            host=params.host,
            silent_since=params.silent_since,
            pci_aliases=self._pci_aliases,
        )
        return _begun(await self._db.write(moves.begin, request))

    @step("moves.complete", because="after it the move only goes forward")
    async def complete(self, params: CompleteMove) -> Written:
        """The server is its new side, with its ports and volumes. Not written: a delete has taken it."""
        attempt = params.attempt
        new = moves.Completed(
            server_id=attempt.server_id,
            op=params.op,
            host=attempt.host,
            attempt=attempt.number,
            power_state=params.power_state,
        )
        return Written(written=await self._db.write(moves.complete, new))

    @step("moves.abandon", because="it is an undo")
    async def abandon(self, params: EndMove) -> None:
        """The server is what it was before the move."""
        await self._db.write(moves.abandon, params.server_id, params.op, params.message, failed=params.failed)

    @step("moves.begin_end", because="a confirmation and a revert only go forward")
    async def begin_end(self, params: BeginEnd) -> MoveSides:
        """Raises Conflict if the server does not wait for its confirmation, or another verb holds it."""
        return await self._db.write(_begin_end, params)

    @step("moves.withdraw_end", because="it is an undo")
    async def withdraw_end(self, params: BeginEnd) -> None:
        """The request was given up, mostly before its answer; one that begins later is refused."""
        message = params.message or "The request was given up before it was admitted."
        await self._db.write(confirmations.withdraw, params.server_id, params.op, message)

    @step("moves.confirm", because="a confirmation only goes forward")
    async def confirm(self, params: Confirmed) -> None:
        await self._db.write(confirmations.confirm, params.server_id, params.op)

    @step("moves.revert", because="a revert only goes forward")
    async def revert(self, params: Reverted) -> None:
        """The server is the side that it was, with its ports and volumes."""
        await self._db.write(
            confirmations.revert,
            params.server_id,
            params.op,
            power_state=params.power_state,
            message=params.message,
        )


def _begun(server: Server) -> BegunMove:
    new, move = server.moved, server.move
    assert move is not None
    return BegunMove(
        server_id=server.id,
        host=move.host,
        attempt=move.attempt,
        next_attempt=server.last_attempt,
        starts=move.vm_state != VmState.STOPPED or move.kind is MoveKind.RESCUE,
        ran=move.vm_state == VmState.ACTIVE or server.power_state == PowerState.RUNNING,
        images=new.images,
        parts=tuple(image for image in (new.kernel_id, new.ramdisk_id) if image),
        old_images=server.images,
        disk_gb=new.flavor.disk_gb,
        has_disk=server.image_id is not None,
        shelved_image_id=server.shelved_image_id or "",
    )


def _begin_end(session: Session, params: BeginEnd) -> MoveSides:
    server = confirmations.begin(session, params.server_id, params.op, params.verb, params.user_id)
    move = server.move
    assert move is not None
    same = move.host == server.host
    return MoveSides(
        server_id=server.id,
        hostname=server.hostname,
        kept=Attempt(server_id=server.id, number=move.attempt, host=move.host),
        new=Attempt(
            server_id=server.id, number=server.attempt, host=str(server.host), keeps=move.attempt if same else 0
        ),
        ran=move.vm_state == VmState.ACTIVE or move.kind is MoveKind.RESCUE,
        images=server.images,
        new_images=tuple(image for image in server.rescue_images if image not in server.own_images),
        ports=devices(session, server).ports,
    )
