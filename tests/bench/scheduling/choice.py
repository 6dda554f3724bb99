"""What a choice costs as hosts grow, and where the time goes."""

import math
import time

import numpy as np

from infra.db.types import now
from infra.domain.placement import PlacementGroup
from infra.scheduler.explain import explain
from infra.scheduler.filters.base import name_of as filter_name
from infra.scheduler.select import FILTERS, WEIGHERS, select
from infra.scheduler.table import HostTable
from infra.scheduler.weighers.base import name_of as weigher_name
from infra.scheduler.weighers.base import share
from infra.settings import SchedulerSettings
from tests.bench.scheduling.fleet import GPU, aggregates, demanding, fleet, median_ms, request
from tests.bench.scheduling.page import Section

TARGETS = {1_000: 2.0, 10_000: 10.0, 100_000: 60.0}
_PARTS_AT = 10_000
_EVERYTHING = SchedulerSettings(
    num_instances_weight_multiplier=1.0,
    image_props_weight_multiplier=1.0,
    metrics_weight_setting={"heat": -1.0},
    isolated_hosts=frozenset({"host-1"}),
    isolated_images=frozenset({"image"}),
    pci_alias=(GPU,),
)


def measure() -> list[Section]:
    options = SchedulerSettings()
    total = Section(
        "Filter and weigh, by number of hosts",
        ("hosts", "plain, ms", "anti-affinity, ms", "explanation, ms", "target, ms", "met", "table from rows, ms"),
    )
    taken: dict[str, list[tuple[int, float]]] = {"plain": [], "anti-affinity": []}
    parts: Section | None = None
    for size, target in TARGETS.items():
        hosts = list(fleet(size))
        began = time.perf_counter()
        table = HostTable(hosts, as_of=now())
        built = (time.perf_counter() - began) * 1000
        group = PlacementGroup(id="g", policy="anti-affinity", hosts=tuple(f"host-{n}" for n in range(0, size, 20)))
        plain, apart = request(), request(group=group)
        selection = select(table, plain, options)
        alone = median_ms(lambda t=table, r=plain: select(t, r, options))
        spread = median_ms(lambda t=table, r=apart: select(t, r, options))
        told = median_ms(lambda t=table, r=plain, s=selection: explain(t, r, s))
        met = "yes" if max(alone, spread) <= target else "no"
        total.add(f"{size:,}", f"{alone:.2f}", f"{spread:.2f}", f"{told:.2f}", f"{target:.0f}", met, f"{built:.0f}")
        taken["plain"].append((size, alone))
        taken["anti-affinity"].append((size, spread))
        if size == _PARTS_AT:
            parts = _parts(HostTable(hosts, aggregates(hosts), as_of=now()))
    for name, points in taken.items():
        (few, least), (many, most) = points[-2], points[-1]
        slope = math.log(most / least) / math.log(many / few)
        each = (most - least) / (many - few) * 1e6
        total.note(
            f"{name}: {each:.0f} ns more for each further host; as hosts grow tenfold, the time grows "
            f"{most / least:.1f}-fold (slope {slope:.2f} on logarithmic scales, 1 is in proportion)."
        )
    assert parts is not None
    return [total, parts]


def _parts(table: HostTable) -> Section:
    section = Section(f"Each filter and weigher, at {_PARTS_AT:,} hosts", ("filter or weigher", "ms"))
    requests = demanding()
    rows = np.arange(len(table))
    for candidate in FILTERS:
        asked = requests.get(filter_name(candidate), requests[""])
        cost = median_ms(lambda c=candidate, r=asked: c.passes(table, r, _EVERYTHING))
        section.add(filter_name(candidate), f"{cost:.3f}")
    for weigher in WEIGHERS:
        asked = requests.get(weigher_name(weigher), requests[""])
        cost = median_ms(lambda w=weigher, r=asked: share(w, table, r, _EVERYTHING, rows))
        section.add(weigher_name(weigher), f"{cost:.3f}")
    section.note(
        "Each is asked what it has to work for: hints, groups, aggregates with metadata, dedicated CPUs, devices."
    )
    return section
