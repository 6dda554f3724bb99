"""The columns choose what a plain host-by-host reading of the documentation chooses, on generated worlds."""

import math
from itertools import pairwise

from hypothesis import given, settings

from infra.domain.placement import PlacementRequest
from infra.scheduler.explain import explain
from infra.scheduler.select import select
from infra.scheduler.table import HostTable
from infra.settings import SchedulerSettings
from tests.unit.scheduler import worlds
from tests.unit.scheduler.reference import World

_World = tuple[list[worlds.Host], list[worlds.Aggregate], dict[str, worlds.Counter[tuple[str, str]]]]


def _table(world: _World) -> HostTable:
    hosts, aggregates, images = world
    table = HostTable(hosts, aggregates, as_of=worlds.NOW)
    for host in hosts:
        if host.name in images:
            table.set_image_properties(host.name, images[host.name])
    return table


@settings(max_examples=300, deadline=None)
@given(worlds.worlds, worlds.requests, worlds.options)
def test_columns_agree_with_the_reference(world: _World, request: PlacementRequest, options: SchedulerSettings) -> None:
    table = _table(world)
    reference = World(*world, request, options)
    selection = select(table, request, options)
    passing = {host.name for host in reference.passing()}
    assert {table.names[row] for row in selection.rows} == passing == set(selection.ranked)
    expected = reference.weights()
    for row, weight in zip(selection.rows, selection.weights, strict=True):
        assert math.isclose(weight, expected[table.names[row]], rel_tol=1e-9, abs_tol=1e-9)
    soft = [name in request.soft_excluded_hosts for name in selection.ranked]
    assert soft == sorted(soft), "hosts that were busy come last"
    if options.host_subset_size == 1:
        for part in (False, True):
            order = [expected[name] for name, is_soft in zip(selection.ranked, soft, strict=True) if is_soft == part]
            assert all(a >= b - 1e-9 for a, b in pairwise(order))


@settings(max_examples=100, deadline=None)
@given(worlds.worlds, worlds.requests, worlds.options)
def test_the_choice_depends_on_hosts_request_and_seed_only(
    world: _World, request: PlacementRequest, options: SchedulerSettings
) -> None:
    hosts, aggregates, images = world
    straight = select(_table(world), request, options)
    backwards = select(_table((hosts[::-1], aggregates[::-1], images)), request, options)
    assert straight.ranked == backwards.ranked
    short = select(_table(world), request, options.model_copy(update={"host_subset_size": 1}), limit=2)
    full = select(_table(world), request, options.model_copy(update={"host_subset_size": 1}))
    assert short.ranked == full.ranked[:2]


@settings(max_examples=100, deadline=None)
@given(worlds.worlds, worlds.requests, worlds.options)
def test_explanations_add_up(world: _World, request: PlacementRequest, options: SchedulerSettings) -> None:
    table = _table(world)
    selection = select(table, request, options)
    told = explain(table, request, selection)
    assert told.evaluated == len(world[0]) == sum(outcome.removed for outcome in told.filters) + told.remaining
    for outcome in told.filters:
        assert len(outcome.hosts) == outcome.removed
    named = [name for outcome in told.filters for name in outcome.hosts]
    assert len(named) == len(set(named))
    assert {score.host for score in told.best} == set(selection.ranked[:5])
    for score in told.best:
        assert math.isclose(score.weight, sum(score.parts.values()), abs_tol=1e-4)
    fallen = {outcome.name: outcome.removed for outcome in told.filters}
    small, bare = fallen.get("CapacityFilter", 0), fallen.get("PciPassthroughFilter", 0)
    devices = [shortage for shortage in told.shortages if shortage.resource.startswith("PCI device ")]
    others = [shortage for shortage in told.shortages if shortage not in devices]
    assert all(0 < shortage.hosts <= small and shortage.best < shortage.asked for shortage in others)
    assert all(0 < shortage.hosts <= bare and shortage.best < shortage.asked for shortage in devices)
    assert sum(shortage.hosts for shortage in others) >= small
    users = told.for_users()
    assert not any(host.name in users.model_dump_json() for host in world[0])
