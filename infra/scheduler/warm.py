"""The host table kept warm: what changed is read again, the rest stays."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from infra.db import aggregates, claims, hosts
from infra.db.claims import Granted
from infra.db.engine import Database
from infra.db.types import now
from infra.domain.host import Aggregate, Host
from infra.scheduler.table import HostTable
from infra.settings import SchedulerSettings

_MANY = 500
"""Above this many changed hosts, reading all is cheaper than reading them by name."""

_AHEAD_SECONDS = 0.5


@dataclass(frozen=True)
class _Changes:
    as_of: datetime
    horizon: int
    hosts: list[Host]
    gone: frozenset[str]
    silent: dict[str, datetime]
    aggregates: list[Aggregate] | None
    """None: as before."""
    image_properties: dict[str, Counter[tuple[str, str]]] | None
    """By changed host; None: no weigher asks."""


class WarmTable:
    """A ``HostTable`` that follows the database. Calls may overlap; one of them reads, the others wait for it."""

    def __init__(self, db: Database, options: SchedulerSettings) -> None:
        self._db = db
        self._options = options
        self._table = HostTable()
        self._horizon = -1
        self._reading = asyncio.Lock()
        self._ahead: asyncio.Task[None] | None = None
        self.read_at = float("-inf")
        """When the latest reading began, by the monotonic clock."""

    async def get(self, since: float) -> HostTable:
        """The table, as read at ``since`` (monotonic clock, seconds) or later.

        One that will soon be too old is read again beside those who still may use it.
        """
        if self.read_at < since:
            await self._read(since)
        elif self.read_at < since + _AHEAD_SECONDS and (self._ahead is None or self._ahead.done()):
            self._ahead = asyncio.create_task(self._read_ahead(since + _AHEAD_SECONDS))
        return self._table

    async def _read(self, since: float) -> None:
        async with self._reading:
            if self.read_at < since:
                began = time.monotonic()
                self._apply(await self._db.read(self._changes))
                self.read_at = began

    async def _read_ahead(self, since: float) -> None:
        # Whoever can't do without it will try it too, and say why it fails.
        with suppress(Exception):
            await self._read(since)

    def _changes(self, session: Session) -> _Changes:
        as_of = now()
        found = hosts.changes(session, self._horizon)
        changed = [name for name, number in found.changed.items() if self._table.change_of(name) != number]
        many = len(changed) > _MANY
        listed: list[Aggregate] | None = None
        if {a.id: a.generation for a in self._table.aggregates} != aggregates.generations(session):
            listed = aggregates.list_all(session)
        properties = None
        if changed and self._counts_image_properties(self._table.aggregates if listed is None else listed):
            properties = claims.image_properties(session, None if many else changed)
        return _Changes(
            as_of=as_of,
            horizon=found.horizon,
            hosts=hosts.snapshot(session, None if many else changed) if changed else [],
            gone=found.removed,
            silent=hosts.silent(session, as_of - timedelta(seconds=self._options.host_down_seconds)),
            aggregates=listed,
            image_properties=properties,
        )

    def _counts_image_properties(self, listed: Iterable[Aggregate]) -> bool:
        key = "image_props_weight_multiplier"
        default = self._options.image_props_weight_multiplier
        return default != 0 or any(key in aggregate.metadata for aggregate in listed)

    def _apply(self, changes: _Changes) -> None:
        table = self._table
        self._horizon = changes.horizon
        table.remove(changes.gone)
        table.update(changes.hosts)
        if changes.aggregates is not None:
            table.set_aggregates(changes.aggregates)
        if changes.image_properties is not None:
            for host in changes.hosts:
                table.set_image_properties(host.name, changes.image_properties.get(host.name, {}))
        # Every other host has reported within the limit: when exactly makes no difference.
        table.as_of = changes.as_of.timestamp()
        table.reported_at[:] = table.as_of
        for name, reported_at in changes.silent.items():
            # It may have enrolled between the two queries.
            if name in table.rows:
                table.reported_at[table.rows[name]] = reported_at.timestamp()

    def note(self, granted: Granted) -> None:
        """What a host has left after a claim made here."""
        counted = granted.claim
        if not self._counts_image_properties(self._table.aggregates):
            counted = counted.model_copy(update={"image_properties": {}})
        if granted.totals is not None:
            self._table.set_totals(counted, granted.totals)
