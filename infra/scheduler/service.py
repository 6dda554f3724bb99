"""The scheduler as the activity ``claim_host`` uses it: a warm table, the choice, and the claim that decides.

The table may be a second old. That is harmless: a claim checks in its own transaction, and one that is lost is
tried again on fresh data.
"""

import time
from datetime import timedelta

from sqlmodel import Session

from infra.db import aggregates, claims, groups, hosts
from infra.db.engine import Database
from infra.db.types import now
from infra.domain.errors import ClaimLost, Unavailable
from infra.domain.host import Claim
from infra.domain.placement import Claimed, Explanation, PlacementGroup, PlacementRequest, Unplaceable
from infra.scheduler.explain import explain
from infra.scheduler.select import select
from infra.scheduler.table import HostTable
from infra.scheduler.warm import WarmTable
from infra.settings import SchedulerSettings

_STALE_SECONDS = 1.0
_ROUNDS = 20
"""Selections on fresh data before a request gives way: only a stampede on the last free rooms loses that often."""
_AWAY_SECONDS = 180.0
"""A host that has been silent for longer is not waited for."""
_CANDIDATES = 5
"""Hosts tried of one selection before the table is read again."""


class Scheduler:
    """One for each process and event loop; its calls may overlap."""

    def __init__(self, db: Database, options: SchedulerSettings) -> None:
        self._db = db
        self._options = options
        self._warm = WarmTable(db, options)

    async def claim(self, request: PlacementRequest, attempt: int) -> Claimed:
        """Choose a host and claim it. Idempotent: an attempt that has a claim keeps it.

        Raises:
            Unplaceable: no host passes the filters on fresh data.
            Fenced: the attempt was closed.
            Unavailable: too many claims were lost to other requests, or a host that would do is away since a moment
                only; the same call may succeed later.
            BadRequest: a scheduler hint has a wrong form.
        """
        began = time.monotonic()
        since, lost = began - _STALE_SECONDS, 0
        for _ in range(_ROUNDS):
            ranked, explanation = await self._choose(request, since)
            if not ranked and self._warm.read_at >= began:
                held = await self._db.read(claims.get, request.server_id, attempt)
                if held is None:
                    if await self._db.read(self._may_come, request):
                        raise Unavailable("The hosts that could take the server are restarting.")
                    raise Unplaceable(explanation.model_copy(update={"lost_races": lost}))
                ranked = (held.host,)
            for host in ranked[:_CANDIDATES]:
                try:
                    won = await self._db.write(claims.claim, _claim(request, host, attempt))
                except ClaimLost:
                    lost += 1
                    continue
                if won.host in ranked:
                    self._warm.note(won)
                return Claimed(
                    host=won.host,
                    explanation=explanation.model_copy(update={"chosen": won.host, "lost_races": lost}),
                )
            since = time.monotonic()
        raise Unavailable(f"{lost} claims were lost to other requests.")

    def _may_come(self, session: Session, request: PlacementRequest) -> bool:
        """Whether a host would do that is restarting, or has been silent for a moment only.

        Hosts also fall silent together, when what their reports need is away: that is no reason to refuse a server.
        """
        moment = now()
        down = moment - timedelta(seconds=self._options.host_down_seconds)
        away = [
            host.model_copy(update={"ready": True, "reported_at": moment})
            for host in hosts.snapshot(session)
            if host.enabled and not host.forced_down
            if host.reported_at >= moment - timedelta(seconds=_AWAY_SECONDS)
            if not host.ready or host.reported_at < down
        ]
        table = HostTable(away, aggregates.list_all(session), as_of=moment)
        return bool(select(table, _placed(session, request), self._options).ranked)

    async def dry_run(self, request: PlacementRequest) -> Explanation:
        """Where a server would go now, and why not elsewhere. Claims nothing."""
        ranked, explanation = await self._choose(request, time.monotonic())
        return explanation.model_copy(update={"chosen": ranked[0] if ranked else None})

    async def _choose(self, request: PlacementRequest, since: float) -> tuple[tuple[str, ...], Explanation]:
        table = await self._warm.get(since)
        placed = await self._db.read(_placed, request)
        selection = select(table, placed, self._options)
        # Told at once: the table changes under the next await.
        return selection.ranked, explain(table, placed, selection)


def _placed(session: Session, request: PlacementRequest) -> PlacementRequest:
    """The request with what the database knows of its group and of the servers that its hints name."""
    hinted = {*request.hinted_servers("same_host"), *request.hinted_servers("different_host")}
    located = claims.hosts_of(session, hinted) if hinted else {}
    group = groups.of_server(session, request.server_id)
    if group is None:
        return request.model_copy(update={"server_hosts": located}) if located else request
    others = {(claim.server_id, claim.host) for claim in claims.of_group(session, group.id)}
    placement = PlacementGroup(
        id=group.id,
        policy=group.policy,
        max_server_per_host=group.max_server_per_host,
        hosts=tuple(sorted(host for server_id, host in others if server_id != request.server_id)),
    )
    return request.model_copy(update={"server_hosts": located, "group": placement})


def _claim(request: PlacementRequest, host: str, attempt: int) -> Claim:
    return Claim(
        server_id=request.server_id,
        host=host,
        attempt=attempt,
        **request.resources.model_dump(),
        image_properties={name: str(value) for name, value in request.image_properties.items()},
    )
