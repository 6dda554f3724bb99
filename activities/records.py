"""Steps 4 and 12: the only writer of servers' rows. Every write names the verb (``op``) that holds the server."""

from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session
from temporalio import activity

from activities import remains
from activities.base import step
from activities.models import Admitted
from activities.remains import Remains, admitted
from infra.db import (
    actions,
    admission,
    debts,
    hosts,
    idempotency,
    move_checks,
    ports,
    servers,
    settlement,
    stuck_undos,
)
from infra.db.boot_requests import Request
from infra.db.engine import Database
from infra.domain.boot import ServerSpec
from infra.domain.pci import PciAlias
from infra.domain.server import Fault, Verb, VmState
from infra.domain.transitions import TRANSITIONS
from infra.settings import LimitSettings
from infra.temporal.history import History
from infra.temporal.sealed import Sealed


class CreateServers(History):
    """One boot request; a row for each id."""

    server_ids: tuple[str, ...]
    reservation_id: str
    request_id: str
    project_id: str
    user_id: str
    is_admin: bool = False
    spec: dict[str, Any]
    """``infra.domain.boot.ServerSpec`` without its secrets."""
    user_data: Sealed | None = None
    admit_before: float
    """Seconds since the epoch; later than that nothing is created."""


class CreatedServers(History):
    servers: tuple[Admitted, ...] = ()


class Held(History):
    """A server and the verb that holds it."""

    server_id: str
    op: str


class Withdrawn(Held):
    project_id: str


class Place(History):
    server_id: str
    op: str
    host: str
    attempt: int
    zone: str | None = None


class Written(History):
    """False: another verb holds the server by now, and nothing was written."""

    written: bool


class SetActive(History):
    server_id: str
    op: str
    power_state: int = 1


class SetError(History):
    server_id: str
    op: str
    code: int
    message: str
    details: str = ""
    explanation: dict[str, Any] | None = None


class BeginVerb(History):
    server_id: str
    op: str
    verb: str
    user_id: str


class BegunVerb(History):
    server_id: str
    host: str
    attempt: int
    vm_state: str
    target: str | None = None
    power_state: int = 0


class EndVerb(History):
    server_id: str
    op: str
    vm_state: str | None = None
    power_state: int | None = None
    message: str | None = None


class MarkDeleting(History):
    server_id: str
    op: str
    user_id: str


class Stuck(History):
    server_id: str
    what: str | None = None


class OweCleanup(History):
    host: str
    server_id: str
    attempt: int
    what: str


class RecordsActivities:
    def __init__(self, db: Database, limits: LimitSettings, pci_aliases: tuple[PciAlias, ...]) -> None:
        self._db = db
        self._limits = limits
        self._pci_aliases = pci_aliases

    @step("records.create_servers", because="the run itself ends the rows: in ERROR with a fault, or withdrawn")
    async def create_servers(self, params: CreateServers) -> CreatedServers:
        """Quota, conflicts and rows in one transaction; a repeat finds the rows there.

        Raises:
            Unavailable: it is later than ``admit_before``; nothing was created.
            KilonovaError: the request is refused, by OpenStack's code.
        """
        request = Request(
            server_ids=params.server_ids,
            reservation_id=params.reservation_id,
            request_id=params.request_id,
            project_id=params.project_id,
            user_id=params.user_id,
            is_admin=params.is_admin,
            spec=ServerSpec.model_validate(params.spec),
            sealed_user_data=params.user_data.model_dump() if params.user_data else None,
            pci_aliases=self._pci_aliases,
            admit_before=params.admit_before,
        )
        made = await self._db.write(admission.admit, request)
        return CreatedServers(servers=tuple(admitted(server) for server in made))

    @step("records.withdraw", because="it is an undo")
    async def withdraw(self, params: Withdrawn) -> None:
        """The request was given up before its answer: the row goes, and an admission that comes later is refused."""
        await self._db.write(admission.withdraw, params.server_id, params.op, params.project_id)

    @step("records.displace", because="it is an undo")
    async def displace(self, params: Place) -> None:
        await self._db.write(servers.displace, params.server_id, params.op, params.attempt)

    @step("records.place", undo=displace)
    async def place(self, params: Place) -> Written:
        written = await self._db.write(
            servers.place, params.server_id, params.op, params.host, params.attempt, params.zone
        )
        return Written(written=written)

    @step("records.set_active", because="after the guest runs the boot only goes forward")
    async def set_active(self, params: SetActive) -> Written:
        return Written(written=await self._db.write(_set_active, params))

    @step("records.begin_undo", because="it is the beginning of an undo")
    async def begin_undo(self, params: Held) -> Written:
        """Not written: the server is ACTIVE already, there is nothing to undo."""
        return Written(written=await self._db.write(servers.begin_undo, params.server_id, params.op))

    @step("records.set_error", because="it is how a failed boot ends")
    async def set_error(self, params: SetError) -> Written:
        return Written(written=await self._db.write(_set_error, params))

    @step("records.end_verb", because="it is an undo, and how a verb ends")
    async def end_verb(self, params: EndVerb) -> Written:
        return Written(written=await self._db.write(_end_verb, params))

    @step("records.begin_verb", because="the verb ends it with its outcome, whatever that is")
    async def begin_verb(self, params: BeginVerb) -> BegunVerb:
        """Raises Conflict if the server is in the wrong state or another verb holds it."""
        return await self._db.write(_begin_verb, params)

    @step("records.mark_deleting", because="a delete is never undone")
    async def mark_deleting(self, params: MarkDeleting) -> Remains:
        """Take the server from whoever holds it; raises NotFound if it is gone already."""
        return await self._db.write(_mark_deleting, params)

    @step("records.set_deleted", because="a delete is never undone")
    async def set_deleted(self, params: Held) -> None:
        await self._db.write(_set_deleted, params)

    @step("records.set_stuck", because="it says what is so")
    async def set_stuck(self, params: Stuck) -> None:
        run = str(activity.info().workflow_id)
        await self._db.write(stuck_undos.say, params.server_id, run, params.what)

    @step("records.owe_cleanup", because="the host pays it")
    async def owe_cleanup(self, params: OweCleanup) -> None:
        """Leave the clean-up to a host that can't answer; what the guest could still touch stays claimed."""
        await self._db.write(settlement.owe, debts.Debt(**params.model_dump()))


def _set_active(session: Session, params: SetActive) -> bool:
    written = servers.set_active(session, params.server_id, params.op, params.power_state)
    if written:
        ports.set_status_of_device(session, params.server_id, "ACTIVE")
        hosts.build_succeeded(session, str(servers.get(session, params.server_id).host))
    actions.finish(session, params.server_id, params.op)
    return written


def _set_error(session: Session, params: SetError) -> bool:
    fault = Fault(code=params.code, message=params.message, created=datetime.now(UTC), details=params.details or None)
    written = servers.set_error(session, params.server_id, params.op, fault, params.explanation)
    actions.finish(session, params.server_id, params.op, params.message)
    return written


def _begin_verb(session: Session, params: BeginVerb) -> BegunVerb:
    verb = Verb(params.verb)
    servers.lock(session, params.server_id)
    move_checks.check_not_given_up(session, params.server_id, params.op)
    server = servers.begin_verb(session, params.server_id, verb, params.op)
    if verb is Verb.SHELVE:
        move_checks.check_devices_at_rest(session, server, verb)
    move_checks.check_alone(session, server)
    actions.start(session, server, params.op, params.verb.split("_")[0], params.user_id)
    rule = TRANSITIONS[verb]
    return BegunVerb(
        server_id=server.id,
        host=server.host or "",
        attempt=server.attempt,
        vm_state=server.vm_state,
        target=rule.target,
        power_state=rule.power or 0,
    )


def _end_verb(session: Session, params: EndVerb) -> bool:
    state = VmState(params.vm_state) if params.vm_state else None
    servers.lock(session, params.server_id)
    # What it took it gives back; a beginning that comes later finds that it is over.
    idempotency.bury(session, servers.verb_key(params.server_id, params.op))
    actions.finish(session, params.server_id, params.op, params.message)
    broken = params.message if state is VmState.ERROR else None
    fault = Fault(code=500, message=broken, created=datetime.now(UTC)) if broken else None
    written = servers.end_verb(
        session, params.server_id, params.op, vm_state=state, power_state=params.power_state, fault=fault
    )
    if written and params.power_state is not None:
        ports.set_status_of_device(session, params.server_id, "ACTIVE" if params.power_state == 1 else "DOWN")
    return written


def _mark_deleting(session: Session, params: MarkDeleting) -> Remains:
    server = servers.mark_deleting(session, params.server_id, params.op)
    actions.start(session, server, params.op, "delete", params.user_id)
    return remains.of(session, server)


def _set_deleted(session: Session, params: Held) -> None:
    actions.finish(session, params.server_id, params.op)
    servers.set_deleted(session, params.server_id)
