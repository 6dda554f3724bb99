"""Step 5: a host for the server, chosen and claimed, on a queue that is fair by project (``workers/gate.py``)."""

from collections.abc import Callable
from typing import Any

from sqlmodel import Session

from activities.base import step
from infra.db import claims as claim_rows
from infra.db import hosts, images, moves, servers, settlement
from infra.db.engine import Database
from infra.domain.errors import Fenced, NotFound
from infra.domain.placement import PlacementRequest
from infra.scheduler.service import Scheduler
from infra.temporal.history import History


class ClaimHost(History):
    server_id: str
    op: str
    attempt: int
    excluded: tuple[str, ...] = ()
    soft_excluded: tuple[str, ...] = ()
    moving: bool = False
    """For a move: its number is given out first, and what an administrator asked of the boot no longer counts."""
    host: str | None = None
    """The one that an administrator chose for the move."""


class ClaimedHost(History):
    host: str
    zone: str | None = None
    explanation: dict[str, Any] = {}
    """Counts only (``infra.domain.placement.Explanation.for_users``)."""


class HostRef(History):
    host: str


class Seen(History):
    is_up: bool


class ServerRef(History):
    server_id: str


class SchedulingActivities:
    def __init__(self, db: Database, scheduler: Scheduler, let_in: Callable[[str], None]) -> None:
        """``let_in`` is told the ids of servers that have a host now."""
        self._db = db
        self._scheduler = scheduler
        self._let_in = let_in

    @step("scheduling.release_claim", because="it is an undo")
    async def release_claim(self, params: ClaimHost) -> None:
        await self._db.write(claim_rows.release, params.server_id, params.attempt)

    @step("scheduling.claim_host", undo=release_claim)
    async def claim_host(self, params: ClaimHost) -> ClaimedHost:
        """
        Raises:
            NoValidHost: with the counts by filter.
            Fenced: another verb has taken the server, or the attempt is closed.
        """
        if params.moving:
            await self._db.write(moves.number, params.server_id, params.op, params.attempt)
        request = await self._db.read(_request, params)
        claimed = await self._scheduler.claim(request, params.attempt)
        self._let_in(params.server_id)
        explanation = claimed.explanation.model_copy(update={"filters": claimed.explanation.filters})
        return ClaimedHost(host=claimed.host, explanation=explanation.for_users().model_dump(mode="json"))

    @step("scheduling.release_all", because="it is an undo")
    async def release_all(self, params: ServerRef) -> None:
        """The server is gone: close all its attempts and give back all it holds, but for what is quarantined."""
        await self._db.write(settlement.release_all, params.server_id)

    @step("scheduling.see_host", because="it reads")
    async def see_host(self, params: HostRef) -> Seen:
        """Whether the host has reported of late."""
        return Seen(is_up=await self._scheduler.is_up(params.host))

    @step("scheduling.build_failed", because="a failure that happened stays counted")
    async def build_failed(self, params: HostRef) -> None:
        """Count the failure against the host, for the build-failure weigher."""
        await self._db.write(hosts.build_failed, params.host)


def _request(session: Session, params: ClaimHost) -> PlacementRequest:
    server = servers.get(session, params.server_id)
    if server.op != params.op:
        raise Fenced(f"Server {server.id} is being deleted.")
    server = server.moved
    properties: dict[str, Any] = {}
    if server.image_id:
        try:
            properties = images.get(session, server.image_id, None, everything=True).properties
        except NotFound:
            properties = {}
    zone, _, forced = (server.availability_zone or "").partition(":")
    return PlacementRequest(
        server_id=server.id,
        project_id=server.project_id,
        flavor=server.flavor,
        image_id=server.image_id,
        image_properties=properties,
        volume_backed=server.image_id is None,
        availability_zone=zone or None,
        forced_host=params.host if params.moving else forced or None,
        excluded_hosts=params.excluded,
        soft_excluded_hosts=params.soft_excluded,
        hints=server.scheduler_hints,
    )
