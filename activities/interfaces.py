"""Attaching a network interface to a server that is there, and taking it back: what the control plane writes of it."""

from activities.base import step
from activities.models import Attempt, PortRef
from infra.db import interfaces
from infra.db.engine import Database
from infra.db.interfaces import InterfaceChange, InterfaceWish
from infra.temporal.history import History


class BeginInterface(History):
    server_id: str
    port_id: str
    """The user's own, or of the one that is to be made."""
    attachment_id: str
    user_id: str
    op: str
    created: bool = True
    """False: it is the user's own."""
    network_id: str | None = None
    """Where a port is to be made; None: on the project's only network."""
    fixed_ip: str | None = None
    tag: str | None = None
    any_project: bool = False


class HeldInterface(History):
    """A port that a request holds, and the attempt at its server that has it."""

    attempt: Attempt
    port: PortRef
    attachment_id: str
    hostname: str = ""
    project_id: str = ""


class BeginDetachInterface(History):
    server_id: str
    port_id: str
    user_id: str
    op: str


class InterfaceOf(History):
    """A port of a server, and the request that holds it."""

    server_id: str
    port_id: str
    op: str


class TakeInterface(History):
    server_id: str
    port_id: str
    seen_op: str
    op: str
    why: str = ""


class TakenInterface(History):
    held: HeldInterface | None = None
    """None: nobody has to repair it any more."""


class InterfaceActivities:
    def __init__(self, db: Database) -> None:
        self._db = db

    @step("interfaces.withdraw", because="it is an undo")
    async def withdraw(self, params: BeginInterface) -> None:
        """Let go of the port; the server's row does not name it any more."""
        await self._db.write(interfaces.withdraw, params.server_id, params.port_id, params.attachment_id)

    @step("interfaces.begin", undo=withdraw)
    async def begin(self, params: BeginInterface) -> HeldInterface:
        """
        Raises:
            NotFound: no such server, port or network.
            Conflict: a verb holds the server, its state does not allow it, or the port or address is in use.
            BadRequest: it is not clear which network is meant, or it has no room.
        """
        wish = InterfaceWish(
            port_id=None if params.created else params.port_id,
            network_id=params.network_id,
            fixed_ip=params.fixed_ip,
            tag=params.tag,
            any_project=params.any_project,
        )
        begun = await self._db.write(
            interfaces.begin,
            params.server_id,
            wish,
            port_id=params.port_id,
            attachment_id=params.attachment_id,
            user_id=params.user_id,
            op=params.op,
        )
        return _held(begun, params.fixed_ip)

    @step("interfaces.complete", because="the guest has it: from here on the attach only goes forward")
    async def complete(self, params: InterfaceOf) -> None:
        await self._db.write(interfaces.complete, params.server_id, params.port_id, params.op)

    @step("interfaces.roll_back_detach", because="it is an undo")
    async def roll_back_detach(self, params: BeginDetachInterface) -> None:
        """The guest keeps the interface."""
        await self._db.write(interfaces.roll_back_detach, params.server_id, params.port_id, params.op)

    @step("interfaces.begin_detach", undo=roll_back_detach)
    async def begin_detach(self, params: BeginDetachInterface) -> HeldInterface:
        """Raises NotFound if the server has no such port, Conflict if a verb holds the server or the port is held."""
        begun = await self._db.write(
            interfaces.begin_detach, params.server_id, params.port_id, user_id=params.user_id, op=params.op
        )
        return _held(begun)

    @step("interfaces.take", because="the repair lets go of it, whatever it finds")
    async def take(self, params: TakeInterface) -> TakenInterface:
        """Hold the port instead of the request that the sweeper saw."""
        taken = await self._db.write(
            interfaces.take, params.server_id, params.port_id, params.seen_op, params.op, params.why
        )
        return TakenInterface(held=_held(taken) if taken is not None else None)

    @step("interfaces.end", because="it says what is so")
    async def end(self, params: InterfaceOf) -> None:
        """The server has the interface no more."""
        await self._db.write(interfaces.end, params.server_id, params.port_id, params.op)


def _held(change: InterfaceChange, fixed_ip: str | None = None) -> HeldInterface:
    return HeldInterface(
        attempt=Attempt(server_id=change.server_id, number=change.attempt, host=change.host),
        port=PortRef(port_id=change.port_id, network_id=change.network_id, created=change.created, fixed_ip=fixed_ip),
        attachment_id=change.attachment_id,
        hostname=change.hostname,
        project_id=change.project_id,
    )
