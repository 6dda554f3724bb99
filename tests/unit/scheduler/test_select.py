"""Order, ties, seeds and limits of the choice, and the table under it."""

from collections import Counter

import numpy as np

from infra.domain.fitting import Wish
from infra.domain.host import Claim
from infra.domain.numa import CellUse, CellWish, HostCell, NumaWish
from infra.domain.placement import PlacementGroup
from infra.scheduler.explain import explain
from infra.scheduler.select import select
from infra.scheduler.table import HostTable
from infra.settings import SchedulerSettings
from tests.unit.scheduler.worlds import GPU, NOW, aggregate, gpus, host, request

OPTIONS = SchedulerSettings()


def _table(*hosts: object, **more: object) -> HostTable:
    return HostTable(hosts, as_of=NOW, **more)  # type: ignore[arg-type]


def test_it_spreads_by_default_and_packs_by_negative_multipliers() -> None:
    table = _table(host("full", memory_mb_claimed=8192), host("half", memory_mb_claimed=4096), host("empty"))
    assert select(table, request(), OPTIONS).ranked == ("empty", "half", "full")
    packing = SchedulerSettings(ram_weight_multiplier=-1.0)
    assert select(table, request(), packing).ranked == ("full", "half", "empty")


def test_a_failed_build_outweighs_all_room() -> None:
    table = _table(host("failing", build_failures=1), host("busy", memory_mb_claimed=8192, vcpus_claimed=8))
    assert select(table, request(), OPTIONS).ranked == ("busy", "failing")


def test_soft_groups_prefer_and_do_not_forbid() -> None:
    table = _table(host("a"), host("b"))
    near = PlacementGroup(id="g", policy="soft-affinity", hosts=("b", "b", "a"))
    apart = PlacementGroup(id="g", policy="soft-anti-affinity", hosts=("b", "b", "a"))
    assert select(table, request(group=near), OPTIONS).ranked == ("b", "a")
    assert select(table, request(group=apart), OPTIONS).ranked == ("a", "b")


def test_pci_devices_are_kept_for_those_who_need_them() -> None:
    some = {"pci_devices": gpus(*range(4)), "pci_used": gpus(*range(3))}
    table = _table(host("some", **some), host("none"), host("many", pci_devices=gpus(*range(4))))
    assert select(table, request(), OPTIONS).ranked == ("none", "some", "many")
    aliases = SchedulerSettings(pci_alias=(GPU,))
    asking = request(extra_specs={"pci_passthrough:alias": "gpu:1"})
    assert select(table, asking, aliases).ranked == ("some", "many")
    greedy = request(extra_specs={"pci_passthrough:alias": "gpu:5"})
    assert explain(table, greedy, select(table, greedy, aliases)).sentence == (
        "No valid host was found. Of 3 hosts PciPassthroughFilter removed 3 "
        "(short of PCI device gpu on 3: 5 asked, at most 4 left)."
    )


def test_multipliers_of_aggregates_hold_for_their_hosts() -> None:
    table = _table(host("a", memory_mb_claimed=4096), host("b"))
    table.set_aggregates([aggregate(1, ("b",), ram_weight_multiplier="-1"), aggregate(2, ("b",))])
    assert select(table, request(), OPTIONS).ranked == ("a", "b")
    table.set_aggregates([aggregate(1, ("b",), ram_weight_multiplier="3"), aggregate(2, ("b",))])
    assert select(table, request(), OPTIONS).ranked == ("b", "a")


def test_equal_hosts_are_shuffled_by_the_seed_and_by_nothing_else() -> None:
    hosts = [host(f"h{number}") for number in range(20)]
    orders = {select(_table(*hosts), request(f"s{seed}"), OPTIONS).ranked for seed in range(30)}
    assert len(orders) > 20
    firsts = Counter(select(_table(*hosts), request(f"s{seed}"), OPTIONS).ranked[0] for seed in range(400))
    assert len(firsts) == 20
    assert max(firsts.values()) < 60
    same = {select(_table(*hosts), request(f"s{n}", seed="fixed"), OPTIONS).ranked for n in range(5)}
    assert len(same) == 1


def test_a_subset_of_the_best_is_chosen_from() -> None:
    hosts = [host(f"h{number}", memory_mb_claimed=512 * number) for number in range(6)]
    options = SchedulerSettings(host_subset_size=3)
    orders = [select(_table(*hosts), request(f"s{seed}"), options).ranked for seed in range(60)]
    assert {order[0] for order in orders} == {"h0", "h1", "h2"}
    assert {len(order) for order in orders} == {6}
    many = SchedulerSettings(host_subset_size=50)
    busy = tuple(f"h{number}" for number in range(5))
    assert select(_table(*hosts), request(soft_excluded_hosts=busy), many).ranked[0] == "h5"


def test_hosts_that_were_busy_are_taken_when_no_other_is_left() -> None:
    table = _table(host("a", memory_mb_claimed=4096), host("b"))
    assert select(table, request(soft_excluded_hosts=("b",)), OPTIONS).ranked == ("a", "b")
    assert select(table, request(soft_excluded_hosts=("a", "b")), OPTIONS).ranked == ("b", "a")


def test_no_hosts_at_all() -> None:
    selection = select(_table(), request(), OPTIONS)
    assert (selection.ranked, selection.evaluated) == ((), 0)
    assert explain(_table(), request(), selection).sentence == "No valid host was found. No compute host has enrolled."


def test_the_sentence_counts_and_the_detail_names() -> None:
    table = _table(
        host("up", memory_mb_claimed=16000), host("small", vcpus=1), host("down", enabled=False), host("b", ready=False)
    )
    wanted = request(vcpus=2)
    told = explain(table, wanted, select(table, wanted, OPTIONS))
    assert told.sentence == (
        "No valid host was found. Of 4 hosts ComputeFilter removed 2, CapacityFilter removed 2 "
        "(short of VCPU on 1: 2 asked, at most 1 left, MEMORY_MB on 1: 1024 asked, at most 384 left)."
    )
    assert told.detail.splitlines()[1:] == ["ComputeFilter: b, down", "CapacityFilter: small, up"]


def test_a_table_changed_step_by_step_is_the_table_made_at_once() -> None:
    groups = [aggregate(1, ("a", "c", "d"), x="y")]
    table = _table(host("a"), host("b"), aggregates=groups)
    table.update([host("b", memory_mb_claimed=512, metrics={"heat": 1.0}), host("c", availability_zone="east")])
    table.set_image_properties("c", {("os_distro", "debian"): 2})
    table.remove(["a", "never-there"])
    table.update([host("d"), host("a", hypervisor_type="KVM")])
    made = _table(
        host("b", memory_mb_claimed=512, metrics={"heat": 1.0}),
        host("c", availability_zone="east"),
        host("d"),
        host("a", hypervisor_type="KVM"),
        aggregates=groups,
    )
    made.set_image_properties("c", {("os_distro", "debian"): 2})
    assert table.names == made.names
    for column in ("memory_mb_claimed", "vcpus", "usable", "reported_at", "name_hash"):
        assert np.array_equal(getattr(table, column), getattr(made, column))
    assert np.array_equal(table.metrics["heat"], made.metrics["heat"], equal_nan=True)
    assert np.array_equal(table.image_properties["os_distro", "debian"], made.image_properties["os_distro", "debian"])
    for zone in ("nova", "east"):
        assert np.array_equal(table.in_zone(zone), made.in_zone(zone))
    kvm = [kind.hypervisor_type == "KVM" for kind in (table.kinds[code] for code in table.kind)]
    assert kvm == [False, False, False, True]
    assert np.array_equal(table.in_aggregates(lambda made: True), [False, True, True, True])


def test_states_of_cells_that_no_host_is_in_are_forgotten_and_answers_stay_right() -> None:
    cell = HostCell(id=0, dedicated=(0, 1), memory_mb=10**6)
    wish = Wish(topology=NumaWish(cells=(CellWish(vcpus=(0,), memory_mb=1),), dedicated=True))
    table = _table(host("a", numa=(cell,)), host("b", numa=(cell,)))
    for number in range(3000):
        taken = (0, 1) if number % 2 else (1,)
        table.update([host("a", numa=(cell,), numa_used=(CellUse(id=0, dedicated=taken, memory_mb=number),))])
        if number % 500 in (0, 1):
            assert table.fits_topology(wish).tolist() == [not number % 2, True]
    assert len(table._topologies) < 1500
    assert table.fits_topology(wish).tolist() == [False, True]


def test_what_is_left_after_a_claim_is_counted_unless_more_is_known() -> None:
    table = _table(host("a", generation=7, changed=70))
    claim = Claim(server_id="s", host="a", attempt=1, vcpus=2, memory_mb=512, disk_gb=3)
    totals = {"vcpus_claimed": 6, "memory_mb_claimed": 512, "disk_gb_claimed": 3, "servers": 3}
    table.set_totals(claim, {**totals, "generation": 8, "changed": 80})
    assert (table.vcpus_claimed[0], table.memory_mb_claimed[0], table.disk_gb_claimed[0], table.servers[0]) == (
        6,
        512,
        3,
        3,
    )
    assert table.change_of("a") == 80
    table.set_totals(claim, {**totals, "vcpus_claimed": 4, "generation": 7, "changed": 90})
    assert table.vcpus_claimed[0] == 6, "an older state replaced a later one"
    table.set_totals(claim, {**totals, "vcpus_claimed": 8, "generation": 10, "changed": 100})
    assert table.vcpus_claimed[0] == 8
    assert table.change_of("a") == 80, "what happened in between would never be read"
