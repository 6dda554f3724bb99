"""How well servers are packed or spread, on a made-up trace of arrivals and departures, beside simple ways to choose.

Everybody gets the same trace and hosts. *First fit* takes the first host in order that has room, *best fit* the one
with the least memory left after it, *worst fit* the one with the most.
"""

import heapq
import random
from collections.abc import Callable, Iterator

import numpy as np

from infra.db.types import now
from infra.domain.flavor import Flavor
from infra.domain.host import Claim, Host, HostReport, Inventory
from infra.domain.placement import PlacementRequest
from infra.scheduler.select import select
from infra.scheduler.table import HostTable
from infra.settings import SchedulerSettings
from tests.bench.scheduling.page import Section

HOSTS, ARRIVALS, SEED = 200, 8_000, 7
_LOADS = {"60 %": 0.60, "95 %": 0.95, "110 %": 1.10}
_INVENTORY = Inventory(vcpus=32, memory_mb=131072, disk_gb=2000, cpu_allocation_ratio=2.0)
_CPUS, _MEMORY_MB = (_INVENTORY.terms[name].capacity for name in ("VCPU", "MEMORY_MB"))
_FLAVORS = (
    (40, Flavor(id="1", name="small", vcpus=1, ram_mb=2048, disk_gb=20)),
    (30, Flavor(id="2", name="medium", vcpus=4, ram_mb=8192, disk_gb=40)),
    (15, Flavor(id="3", name="cpu", vcpus=16, ram_mb=16384, disk_gb=40)),
    (10, Flavor(id="4", name="memory", vcpus=4, ram_mb=49152, disk_gb=80)),
    (5, Flavor(id="5", name="large", vcpus=16, ram_mb=65536, disk_gb=160)),
)
_PACK = {f"{name}_weight_multiplier": -1.0 for name in ("ram", "cpu", "disk")}
Chooser = Callable[[HostTable, PlacementRequest], int | None]


def measure() -> Section:
    section = Section(
        f"Packing and spreading, {HOSTS} hosts, {ARRIVALS:,} servers that come and go",
        ("offered load", "way to choose", "refused", "hosts in use, mean", "fewest possible", "memory in use, spread"),
    )
    ways: dict[str, Chooser] = {
        "pack (negative multipliers)": _scheduler(SchedulerSettings(**_PACK)),
        "best fit": _best_fit,
        "first fit": _first_fit,
        "spread (default)": _scheduler(SchedulerSettings()),
        "worst fit": _worst_fit,
    }
    for name, load in _LOADS.items():
        trace = list(_trace(load))
        for way, choose in ways.items():
            refused, used, fewest, spread = _play(trace, choose)
            shown = (f"{refused / ARRIVALS:.1%}", f"{used:.0f}", f"{fewest:.0f}", f"{spread:.1%}")
            section.add(name, way, *shown)
    section.note(
        "*Fewest possible* is the memory or the VCPUs in use, whichever needs more, divided by one host's; no way to "
        "choose reaches it. *Spread* is the standard deviation between hosts of their memory in use. The load is the "
        "offered memory or VCPUs, whichever is more, of what all hosts have; lifetimes are exponential."
    )
    return section


def _trace(load: float) -> Iterator[tuple[float, float, Flavor]]:
    """(arrival, departure, flavor); on average so many are there at once that ``load`` of all hosts is asked for."""
    dice = random.Random(SEED)
    weights = [weight for weight, _ in _FLAVORS]
    mean = [
        sum(weight * getattr(flavor, name) for weight, flavor in _FLAVORS) / sum(weights)
        for name in ("vcpus", "ram_mb")
    ]
    there = load * HOSTS * min(_CPUS / mean[0], _MEMORY_MB / mean[1])
    moment = 0.0
    for _ in range(ARRIVALS):
        moment += dice.expovariate(there)
        flavor = dice.choices(_FLAVORS, weights)[0][1]
        yield moment, moment + dice.expovariate(1.0), flavor


def _play(trace: list[tuple[float, float, Flavor]], choose: Chooser) -> tuple[int, float, float, float]:
    """Servers refused, and means over the second half of the arrivals: the first fills the hosts."""
    table = HostTable([_host(number) for number in range(HOSTS)], as_of=now())
    leaving: list[tuple[float, int, int, PlacementRequest]] = []
    refused = 0
    samples: list[tuple[float, float, float]] = []
    for number, (moment, end, flavor) in enumerate(trace):
        while leaving and leaving[0][0] <= moment:
            _, _, row, gone = heapq.heappop(leaving)
            _count(table, row, gone, -1)
        request = PlacementRequest(server_id=f"s{number}", project_id="p", flavor=flavor)
        row_or_none = choose(table, request)
        if row_or_none is None:
            refused += 1
        else:
            _count(table, row_or_none, request, 1)
            heapq.heappush(leaving, (end, number, row_or_none, request))
        if number >= len(trace) // 2:
            samples.append(_sample(table))
    used, fewest, spread = np.mean(samples, axis=0)
    return refused, float(used), float(fewest), float(spread)


def _sample(table: HostTable) -> tuple[float, float, float]:
    fewest = max(table.memory_mb_claimed.sum() / _MEMORY_MB, table.vcpus_claimed.sum() / _CPUS)
    return float((table.servers > 0).sum()), float(fewest), float((table.memory_mb_claimed / _MEMORY_MB).std())


def _count(table: HostTable, row: int, request: PlacementRequest, sign: int) -> None:
    wanted = request.resources
    claim = Claim(server_id=request.server_id, host=table.names[row], attempt=1, **wanted.model_dump())
    totals = {
        "vcpus_claimed": int(table.vcpus_claimed[row]) + sign * wanted.vcpus,
        "memory_mb_claimed": int(table.memory_mb_claimed[row]) + sign * wanted.memory_mb,
        "disk_gb_claimed": int(table.disk_gb_claimed[row]) + sign * wanted.disk_gb,
        "servers": int(table.servers[row]) + sign,
        "generation": int(table.generation[row]) + 1,
        "changed": int(table.changed[row]) + 1,
    }
    table.set_totals(claim, totals)


def _host(number: int) -> Host:
    report = HostReport(
        name=f"host-{number:03}", inventory=_INVENTORY, hypervisor_type="KVM", hypervisor_version=1, accelerator="kvm"
    )
    return Host(id=report.name, report=report, ready=True, reported_at=now(), created_at=now())


def _scheduler(options: SchedulerSettings) -> Chooser:
    def choose(table: HostTable, request: PlacementRequest) -> int | None:
        ranked = select(table, request, options.model_copy(update={"max_instances_per_host": 10**6}), limit=1).ranked
        return table.rows[ranked[0]] if ranked else None

    return choose


def _fitting(table: HostTable, request: PlacementRequest) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    wanted = request.resources
    return np.flatnonzero(
        (table.vcpus_capacity - table.vcpus_claimed >= wanted.vcpus)
        & (table.memory_mb_capacity - table.memory_mb_claimed >= wanted.memory_mb)
        & (table.disk_gb_capacity - table.disk_gb_claimed >= wanted.disk_gb)
    )


def _first_fit(table: HostTable, request: PlacementRequest) -> int | None:
    rows = _fitting(table, request)
    return int(rows[0]) if len(rows) else None


def _best_fit(table: HostTable, request: PlacementRequest) -> int | None:
    rows = _fitting(table, request)
    return int(rows[np.argmax(table.memory_mb_claimed[rows])]) if len(rows) else None


def _worst_fit(table: HostTable, request: PlacementRequest) -> int | None:
    rows = _fitting(table, request)
    return int(rows[np.argmin(table.memory_mb_claimed[rows])]) if len(rows) else None
