"""The choice of hosts: a pure function of (hosts, request, options). The order of filters and weighers stands here."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.domain.extra_specs import pci_wishes
from infra.domain.pci import PciWish
from infra.domain.placement import PlacementRequest
from infra.scheduler.columns import stable_hash
from infra.scheduler.filters import base as filtering
from infra.scheduler.filters.affinity import ServerGroupAffinityFilter
from infra.scheduler.filters.aggregate_extra_specs import AggregateInstanceExtraSpecsFilter
from infra.scheduler.filters.aggregate_image_properties import AggregateImagePropertiesIsolation
from infra.scheduler.filters.aggregate_io_ops import AggregateIoOpsFilter
from infra.scheduler.filters.aggregate_multitenancy import AggregateMultiTenancyIsolation
from infra.scheduler.filters.aggregate_num_instances import AggregateNumInstancesFilter
from infra.scheduler.filters.aggregate_type_affinity import AggregateTypeAffinityFilter
from infra.scheduler.filters.anti_affinity import ServerGroupAntiAffinityFilter
from infra.scheduler.filters.availability_zone import AvailabilityZoneFilter
from infra.scheduler.filters.capabilities import ComputeCapabilitiesFilter
from infra.scheduler.filters.capacity import CapacityFilter
from infra.scheduler.filters.compute import ComputeFilter
from infra.scheduler.filters.different_host import DifferentHostFilter
from infra.scheduler.filters.image_properties import ImagePropertiesFilter
from infra.scheduler.filters.io_ops import IoOpsFilter
from infra.scheduler.filters.isolated_aggregates import IsolatedAggregatesFilter
from infra.scheduler.filters.isolated_hosts import IsolatedHostsFilter
from infra.scheduler.filters.json_query import JsonFilter
from infra.scheduler.filters.metrics import MetricsFilter
from infra.scheduler.filters.num_instances import NumInstancesFilter
from infra.scheduler.filters.numa_topology import NUMATopologyFilter
from infra.scheduler.filters.pci_passthrough import PciPassthroughFilter
from infra.scheduler.filters.requested_host import RequestedHostFilter
from infra.scheduler.filters.retry import RetryFilter
from infra.scheduler.filters.same_host import SameHostFilter
from infra.scheduler.filters.tenant_aggregates import TenantAggregatesFilter
from infra.scheduler.filters.traits import TraitsFilter
from infra.scheduler.filters.units import UnitsFilter
from infra.scheduler.table import Floats, HostTable, Mask, Rows
from infra.scheduler.weighers import base as weighing
from infra.scheduler.weighers.build_failure import BuildFailureWeigher
from infra.scheduler.weighers.cpu import CPUWeigher
from infra.scheduler.weighers.disk import DiskWeigher
from infra.scheduler.weighers.hypervisor_version import HypervisorVersionWeigher
from infra.scheduler.weighers.image_properties import ImagePropertiesWeigher
from infra.scheduler.weighers.io_ops import IoOpsWeigher
from infra.scheduler.weighers.metrics import MetricsWeigher
from infra.scheduler.weighers.num_instances import NumInstancesWeigher
from infra.scheduler.weighers.pci import PCIWeigher
from infra.scheduler.weighers.ram import RAMWeigher
from infra.scheduler.weighers.soft_affinity import ServerGroupSoftAffinityWeigher
from infra.scheduler.weighers.soft_anti_affinity import ServerGroupSoftAntiAffinityWeigher
from infra.settings import SchedulerSettings

FILTERS: tuple[filtering.Filter, ...] = (
    ComputeFilter(),
    RequestedHostFilter(),
    RetryFilter(),
    AvailabilityZoneFilter(),
    CapacityFilter(),
    UnitsFilter(),
    TraitsFilter(),
    IsolatedAggregatesFilter(),
    TenantAggregatesFilter(),
    ServerGroupAntiAffinityFilter(),
    ServerGroupAffinityFilter(),
    DifferentHostFilter(),
    SameHostFilter(),
    IsolatedHostsFilter(),
    NumInstancesFilter(),
    AggregateNumInstancesFilter(),
    IoOpsFilter(),
    AggregateIoOpsFilter(),
    AggregateMultiTenancyIsolation(),
    AggregateTypeAffinityFilter(),
    AggregateInstanceExtraSpecsFilter(),
    AggregateImagePropertiesIsolation(),
    ImagePropertiesFilter(),
    ComputeCapabilitiesFilter(),
    MetricsFilter(),
    JsonFilter(),
    NUMATopologyFilter(),
    PciPassthroughFilter(),
)
"""All filters, cheap and decisive ones first."""

FORCED = frozenset(
    {
        "ComputeFilter",
        "RequestedHostFilter",
        "RetryFilter",
        "CapacityFilter",
        "UnitsFilter",
        "NUMATopologyFilter",
        "PciPassthroughFilter",
        "ServerGroupAntiAffinityFilter",
        "ServerGroupAffinityFilter",
    }
)
"""What even a forced host must pass: the claim would refuse it otherwise."""

ALWAYS = FORCED | {
    "AvailabilityZoneFilter",
    "TraitsFilter",
    "IsolatedAggregatesFilter",
    "TenantAggregatesFilter",
}
"""Filters that no setting turns off, as Placement does this part for Nova."""

WEIGHERS: tuple[weighing.Weigher, ...] = (
    RAMWeigher(),
    CPUWeigher(),
    DiskWeigher(),
    HypervisorVersionWeigher(),
    IoOpsWeigher(),
    NumInstancesWeigher(),
    ImagePropertiesWeigher(),
    PCIWeigher(),
    MetricsWeigher(),
    ServerGroupSoftAffinityWeigher(),
    ServerGroupSoftAntiAffinityWeigher(),
    BuildFailureWeigher(),
)

_MULTIPLY = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True)
class Selection:
    """The outcome of filtering and weighing. ``explain.py`` tells it in words."""

    ranked: tuple[str, ...]
    """The best hosts, best first."""
    evaluated: int
    removed: tuple[tuple[str, int], ...]
    """Each filter that was asked, in order, and how many hosts it removed of those left by the ones before."""
    removed_by: NDArray[np.int8]
    """For each row the index into ``removed`` of the filter that removed it, or -1."""
    rows: Rows
    """Rows that passed every filter."""
    weights: Floats
    """Of ``rows``."""
    devices: tuple[PciWish, ...]
    """What was asked for of PCI devices."""
    shares: tuple[tuple[str, Floats], ...]
    """For each weigher that made a difference what it added to ``weights``."""


def select(table: HostTable, request: PlacementRequest, options: SchedulerSettings, *, limit: int = 32) -> Selection:
    """Filter and weigh all hosts.

    Args:
        limit: how many hosts to rank.

    Raises:
        BadRequest: a scheduler hint has a wrong form.
    """
    removed, removed_by = _filter(table, request, options)
    rows: Rows = np.flatnonzero(removed_by < 0)
    weights, shares = _weigh(table, request, options, rows)
    seed = stable_hash(request.seed or request.server_id)
    ranked = _rank(table, request, rows, weights, seed, limit)
    if options.host_subset_size > 1 and ranked:
        preferred = sum(name not in request.soft_excluded_hosts for name in ranked) or len(ranked)
        ranked.insert(0, ranked.pop(seed % min(options.host_subset_size, preferred)))
    return Selection(
        ranked=tuple(ranked),
        evaluated=len(table),
        removed=removed,
        removed_by=removed_by,
        rows=rows,
        weights=weights,
        devices=pci_wishes(request.flavor, options.pci_alias),
        shares=shares,
    )


def enabled(request: PlacementRequest, options: SchedulerSettings) -> Iterator[filtering.Filter]:
    """The filters that this request goes through, in order."""
    for candidate in FILTERS:
        name = filtering.name_of(candidate)
        wanted = name in FORCED if request.forced_host else name in ALWAYS or name in options.enabled_filters
        if wanted:
            yield candidate


def _filter(
    table: HostTable, request: PlacementRequest, options: SchedulerSettings
) -> tuple[tuple[tuple[str, int], ...], NDArray[np.int8]]:
    left: Mask = np.ones(len(table), np.bool_)
    removed_by = np.full(len(table), -1, np.int8)
    removed: list[tuple[str, int]] = []
    for candidate in enabled(request, options):
        passes = candidate.passes(table, request, options)
        if passes is None:
            continue
        falls = left & ~passes
        count = int(np.count_nonzero(falls))
        if count:
            removed_by[falls] = len(removed)
            left &= passes
        removed.append((filtering.name_of(candidate), count))
    return tuple(removed), removed_by


def _weigh(
    table: HostTable, request: PlacementRequest, options: SchedulerSettings, rows: Rows
) -> tuple[Floats, tuple[tuple[str, Floats], ...]]:
    total = np.zeros(len(rows))
    shares: list[tuple[str, Floats]] = []
    for weigher in WEIGHERS:
        share = weighing.share(weigher, table, request, options, rows)
        if share is not None:
            total += share
            shares.append((weighing.name_of(weigher), share))
    return total, tuple(shares)


def _rank(table: HostTable, request: PlacementRequest, rows: Rows, weights: Floats, seed: int, limit: int) -> list[str]:
    if not request.soft_excluded_hosts:
        return [table.names[row] for row in rows[_top(weights, table.name_hash[rows], seed, limit)]]
    soft = table.named(request.soft_excluded_hosts)[rows]
    best: list[str] = []
    for part in (np.flatnonzero(~soft), np.flatnonzero(soft)):
        own = rows[part]
        places = _top(weights[part], table.name_hash[own], seed, limit - len(best))
        best += [table.names[row] for row in own[places]]
    return best


def _top(weights: Floats, hashes: NDArray[np.uint64], seed: int, limit: int) -> Rows:
    """Places of the ``limit`` heaviest, heaviest first, equal ones shuffled. Sorts no more than it returns."""
    places = np.arange(len(weights))
    if limit < len(weights):
        border = np.partition(weights, -limit)[-limit] if limit else np.inf
        above, level = np.flatnonzero(weights > border), np.flatnonzero(weights == border)
        room = limit - len(above)
        if room < len(level):
            level = level[np.argpartition(_shuffle(hashes[level], seed), room - 1)[:room]] if room else level[:0]
        places = np.concatenate([above, level])
    order: Rows = places[np.lexsort((_shuffle(hashes[places], seed), -weights[places]))]
    return order


def _shuffle(hashes: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """A number for each host that depends on its name and the seed only (the finalizer of SplitMix64)."""
    mixed = hashes ^ np.uint64(seed)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MULTIPLY[0]
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MULTIPLY[1]
    found: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return found
