"""The scheduler as the activity ``claim_host`` uses it: a warm table, the choice, and the claim that decides.

The table may be a second old. That is harmless: a claim checks in its own transaction, and one that is lost is
tried again on fresh data.
"""

import time
from datetime import timedelta

from sqlmodel import Session

from infra.db import aggregates, claims, explanations, groups, hosts
from infra.db.claims import Granted
from infra.db.claims_together import Asked
from infra.db.engine import Database
from infra.db.types import now
from infra.domain.errors import ClaimLost, NotFound, Unavailable
from infra.domain.extra_specs import pci_wishes
from infra.domain.fitting import Wish
from infra.domain.host import Claim
from infra.domain.placement import Claimed, Explanation, PlacementGroup, PlacementRequest, ServerGroup, Unplaceable
from infra.scheduler.explain import explain
from infra.scheduler.joint import JointClaims
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
        # On SQLite no claim waits while another is written.
        self._joint = None if db.is_sqlite else JointClaims(db)

    async def claim(self, request: PlacementRequest, attempt: int) -> Claimed:
        """Choose a host and claim it. Idempotent: an attempt that has a claim keeps it.

        Raises:
            Unplaceable: no host passes the filters on fresh data.
            Fenced: the attempt was closed.
            Unavailable: too many claims were lost to other requests, or a host that would do is away since a moment
                only; the same call may succeed later.
            BadRequest: a scheduler hint has a wrong form, or an alias of PCI devices is defined no more.
        """
        began = time.monotonic()
        since, lost = began - _STALE_SECONDS, 0
        looked_up = not request.hints
        wish = Wish(topology=request.topology, devices=pci_wishes(request.flavor, self._options.pci_alias))
        for _ in range(_ROUNDS):
            # Most servers are in no group and name no other: only a claim that is lost makes sure.
            placed = request if looked_up else await self._db.read(_placed, request)
            looked_up = False
            ranked, explanation = self._choose(await self._warm.get(since), placed)
            if not ranked and self._warm.read_at >= began:
                refusal = explanation.model_copy(update={"lost_races": lost})
                held = await self._db.write(_held_or_refused, request.server_id, attempt, refusal)
                if held is None:
                    if await self._db.read(self._may_come, request):
                        raise Unavailable("The hosts that could take the server are restarting.")
                    raise Unplaceable(refusal)
                ranked = (held.host,)
            for host in ranked[:_CANDIDATES]:
                explanation = explanation.model_copy(update={"chosen": host, "lost_races": lost})
                try:
                    won = await self._won(request, wish, host, attempt, explanation)
                except ClaimLost:
                    lost += 1
                    continue
                self._warm.note(won)
                held_there = explanation.model_copy(update={"chosen": won.claim.host})
                return Claimed(host=won.claim.host, explanation=held_there)
            since = time.monotonic()
        raise Unavailable(f"{lost} claims were lost to other requests.")

    async def _won(
        self, request: PlacementRequest, wish: Wish, host: str, attempt: int, explanation: Explanation
    ) -> Granted:
        """Raises ClaimLost or Fenced."""
        claim, told = _claim(request, host, attempt), explanation.model_dump(mode="json")
        if self._joint is not None and not wish:
            won = await self._joint.claim(Asked(claim=claim, explanation=told))
            if won is not None:
                return won
        return await self._db.write(claims.claim, claim, wish, told)

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

    async def is_up(self, host: str) -> bool:
        """Whether a host is there and has reported within the time after which it counts as down."""
        down = now() - timedelta(seconds=self._options.host_down_seconds)
        found = await self._db.read(hosts.snapshot, {host})
        return any(one.ready and not one.forced_down and one.reported_at >= down for one in found)

    async def dry_run(self, request: PlacementRequest) -> Explanation:
        """Where a server would go now, and why not elsewhere. Claims nothing."""
        placed = await self._db.read(_placed, request)
        ranked, explanation = self._choose(await self._warm.get(time.monotonic()), placed)
        return explanation.model_copy(update={"chosen": ranked[0] if ranked else None})

    def _choose(self, table: HostTable, request: PlacementRequest) -> tuple[tuple[str, ...], Explanation]:
        selection = select(table, request, self._options)
        # Told at once: the table changes under the next await.
        return selection.ranked, explain(table, request, selection)


def _held_or_refused(session: Session, server_id: str, attempt: int, refusal: Explanation) -> Claim | None:
    """The claim that an earlier call got for the attempt; where there is none, why there is none is kept."""
    held = claims.get(session, server_id, attempt)
    if held is None:
        explanations.keep(session, server_id, attempt, refusal.model_dump(mode="json"))
    return held


def _placed(session: Session, request: PlacementRequest) -> PlacementRequest:
    """The request with what the database knows of its group and of the servers that its hints name."""
    hinted = {*request.hinted_servers("same_host"), *request.hinted_servers("different_host")}
    located = claims.hosts_of(session, hinted) if hinted else {}
    group = groups.of_server(session, request.server_id) or _hinted_group(session, request)
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


def _hinted_group(session: Session, request: PlacementRequest) -> ServerGroup | None:
    """The group that a server which is not there yet would be in."""
    hint = request.hints.get("group")
    if not isinstance(hint, str):
        return None
    try:
        return groups.get(session, hint, project_id=request.project_id)
    except NotFound:
        return None


def _claim(request: PlacementRequest, host: str, attempt: int) -> Claim:
    return Claim(
        server_id=request.server_id,
        host=host,
        attempt=attempt,
        **request.resources.model_dump(),
        image_properties={name: str(value) for name, value in request.image_properties.items()},
    )
