"""Placing and claiming against a database: how many a second, and how late the latest."""

import asyncio
import statistics
import time

from sqlmodel import insert

from infra.db import schema
from infra.db.engine import Database
from infra.db.hosts import terms_columns
from infra.db.tables.hosts import HostRow
from infra.scheduler.service import Scheduler
from infra.settings import SchedulerSettings
from tests.bench.scheduling.fleet import INVENTORY, fleet, request
from tests.bench.scheduling.page import Section

HOSTS, SERVERS = 10_000, 1_600
TARGET_RATE, TARGET_LATE = 500.0, 20.0


def measure(databases: dict[str, str]) -> Section:
    """By name and URL of empty databases."""
    section = Section(
        f"Place and claim, at {HOSTS:,} hosts",
        ("database", "callers", "servers/s", "median, ms", "99th percentile, ms", "processor, ms each", "target met"),
    )
    for name, url in databases.items():
        db = Database(url)
        schema.create_all(db)
        enrol(db, HOSTS)
        for callers in (1, 8):
            rate, middle, late, cost = asyncio.run(_place(db, callers))
            met = "yes" if rate >= TARGET_RATE and late <= TARGET_LATE else "no"
            section.add(name, str(callers), f"{rate:.0f}", f"{middle:.1f}", f"{late:.1f}", f"{cost:.2f}", met)
        db.close()
    section.note(
        f"Target: {TARGET_RATE:.0f} servers/s and a 99th percentile under {TARGET_LATE:.0f} ms. One scheduler in one "
        "process serves all callers; *processor* is its own time for each server, without the database's."
    )
    return section


def enrol(db: Database, count: int) -> None:
    """By one insert: reports one by one would take longer than the benchmark."""
    rows = [
        {
            "id": host.id,
            "name": host.name,
            "report": host.report.model_dump(mode="json"),
            "enabled": True,
            "ready": True,
            "forced_down": False,
            "reported_at": host.reported_at,
            "created_at": host.created_at,
            "generation": 0,
            **terms_columns(INVENTORY.terms),
            **dict.fromkeys(
                ("vcpus_claimed", "memory_mb_claimed", "disk_gb_claimed", "pcpus_claimed", "servers", "build_failures"),
                0,
            ),
        }
        for host in fleet(count)
    ]
    db.write_now(lambda session: session.execute(insert(HostRow), rows))


async def _place(db: Database, callers: int) -> tuple[float, float, float, float]:
    """Servers a second, median and 99th percentile in ms, and processor time of each in ms."""
    scheduler = Scheduler(db, SchedulerSettings(host_down_seconds=3600))
    await scheduler.claim(request(f"warm-{callers}"), 1)
    taken: list[float] = []

    async def one(caller: int) -> None:
        for number in range(SERVERS // callers):
            began = time.perf_counter()
            await scheduler.claim(request(f"s-{callers}-{caller}-{number}"), 1)
            taken.append((time.perf_counter() - began) * 1000)

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one(caller) for caller in range(callers)))
    rate = len(taken) / (time.perf_counter() - began)
    cost = (time.process_time() - used) / len(taken) * 1000
    return rate, statistics.median(taken), statistics.quantiles(taken, n=100)[98], cost
