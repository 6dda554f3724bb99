"""``python -m tests.bench.scheduler``: what a choice costs as hosts grow, by filter and weigher, and with the claim.

Times are medians in milliseconds, on one core, warm. ``--claims`` adds place-and-claim on a new SQLite file (and on
PostgreSQL where ``--database`` names one that is empty).
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sqlmodel import insert

from infra.db import schema
from infra.db.engine import Database
from infra.db.tables.hosts import HostRow
from infra.db.types import now
from infra.domain.flavor import Flavor
from infra.domain.host import Host, HostReport, Inventory
from infra.domain.placement import PlacementGroup, PlacementRequest
from infra.scheduler.explain import explain
from infra.scheduler.select import WEIGHERS, enabled, select
from infra.scheduler.service import Scheduler
from infra.scheduler.table import HostTable
from infra.scheduler.weighers.base import share
from infra.settings import SchedulerSettings

SIZES = (1_000, 10_000, 100_000)
TARGETS = {1_000: 2.0, 10_000: 10.0, 100_000: 60.0}
REPEATS = 51
_INVENTORY = Inventory(vcpus=64, memory_mb=262144, disk_gb=4000)


def fleet(count: int) -> Iterator[Host]:
    """Hosts of three makes, some busy, one in fifty disabled."""
    moment = now()
    for number in range(count):
        yield Host(
            id=f"id-{number}",
            report=HostReport(
                name=f"host-{number}",
                inventory=_INVENTORY,
                hypervisor_type="QEMU",
                hypervisor_version=7002000 + number % 3,
                accelerator="kvm",
                io_ops=number % 4,
                cpu_info={"model": f"cpu-{number % 3}", "features": ["aes", "avx2"]},
            ),
            enabled=number % 50 != 7,
            ready=True,
            reported_at=moment,
            created_at=moment,
            vcpus_claimed=number * 7 % 900,
            memory_mb_claimed=number * 977 % 250_000,
            disk_gb_claimed=number * 3 % 3500,
            servers=number % 30,
        )


def request(server_id: str = "server", *, group: PlacementGroup | None = None) -> PlacementRequest:
    flavor = Flavor(
        id="1", name="m1", vcpus=4, ram_mb=4096, disk_gb=20, extra_specs={"capabilities:cpu_info:features": "<in> aes"}
    )
    properties = {"hw_architecture": "x86_64"}
    return PlacementRequest(
        server_id=server_id, project_id="p", flavor=flavor, image_properties=properties, group=group
    )


def median_ms(call: Callable[[], Any]) -> float:
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def choices(options: SchedulerSettings) -> tuple[Table, Table]:
    """The whole choice by number of hosts, and each filter and weigher at 10,000."""
    total = Table(
        "hosts", "plain", "anti-affinity", "explanation", "target", "build the table once", title="choice, ms"
    )
    parts = Table("at 10,000 hosts", "ms", title="by filter and weigher, ms")
    for size in SIZES:
        hosts = list(fleet(size))
        began = time.perf_counter()
        table = HostTable(hosts, as_of=now())
        built = (time.perf_counter() - began) * 1000
        group = PlacementGroup(id="g", policy="anti-affinity", hosts=tuple(f"host-{n}" for n in range(0, size, 20)))
        plain, apart = request(), request(group=group)
        selection = select(table, plain, options)
        total.add_row(
            f"{size:,}",
            f"{median_ms(lambda t=table, r=plain: select(t, r, options)):.2f}",
            f"{median_ms(lambda t=table, r=apart: select(t, r, options)):.2f}",
            f"{median_ms(lambda t=table, r=plain, s=selection: explain(t, r, s)):.2f}",
            f"{TARGETS[size]:.0f}",
            f"{built:.0f}",
        )
        if size == 10_000:
            rows = np.arange(size)
            for candidate in enabled(apart, options):
                cost = median_ms(lambda c=candidate, t=table, r=apart: c.passes(t, r, options))
                parts.add_row(type(candidate).__name__, f"{cost:.3f}")
            for weigher in WEIGHERS:
                cost = median_ms(lambda w=weigher, t=table, r=plain, s=rows: share(w, t, r, options, s))
                parts.add_row(type(weigher).__name__, f"{cost:.3f}")
    return total, parts


def enrol_fleet(db: Database, count: int) -> None:
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
            **_INVENTORY.largest.model_dump(),
            **{f"{name}_capacity": value for name, value in _INVENTORY.capacity.model_dump().items()},
            **dict.fromkeys(("vcpus_claimed", "memory_mb_claimed", "disk_gb_claimed", "servers", "build_failures"), 0),
        }
        for host in fleet(count)
    ]
    db.write_now(lambda session: session.execute(insert(HostRow), rows))


async def place(db: Database, callers: int, servers: int) -> tuple[float, float, float]:
    """Servers a second, median and 99th percentile in ms, of callers that place one server after the other."""
    scheduler = Scheduler(db, SchedulerSettings(host_down_seconds=3600))
    await scheduler.claim(request(f"warm-{callers}"), 1)
    taken: list[float] = []

    async def one(caller: int) -> None:
        for number in range(servers // callers):
            began = time.perf_counter()
            await scheduler.claim(request(f"s-{callers}-{caller}-{number}"), 1)
            taken.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*(one(caller) for caller in range(callers)))
    rate = len(taken) / (time.perf_counter() - began)
    return rate, statistics.median(taken), statistics.quantiles(taken, n=100)[98]


def claiming(databases: dict[str, str]) -> Table:
    shown = Table("database", "hosts", "callers", "servers/s", "median ms", "p99 ms", title="place and claim")
    for name, url in databases.items():
        db = Database(url)
        schema.create_all(db)
        enrol_fleet(db, 10_000)
        for callers in (1, 8):
            rate, middle, late = asyncio.run(place(db, callers, 800))
            shown.add_row(name, "10,000", str(callers), f"{rate:.0f}", f"{middle:.1f}", f"{late:.1f}")
        db.close()
    return shown


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--claims", action="store_true", help="also place and claim")
    arguments.add_argument("--database", help="URL of an empty PostgreSQL database for --claims")
    chosen = arguments.parse_args()
    console = Console()
    for table in choices(SchedulerSettings()):
        console.print(table)
    if chosen.claims:
        with tempfile.TemporaryDirectory(prefix="kilonova-bench-") as folder:
            databases = {"SQLite": f"sqlite:///{Path(folder) / 'bench.db'}"}
            if chosen.database:
                databases["PostgreSQL"] = chosen.database
            console.print(claiming(databases))


if __name__ == "__main__":
    main()
