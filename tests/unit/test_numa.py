"""CPUs and memory of NUMA cells: what fits, that nothing is given twice, and what flavors may ask for."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.errors import BadRequest
from infra.domain.extra_specs import check, cpu_set, numa_wish
from infra.domain.flavor import Flavor
from infra.domain.numa import CellWish, GuestCell, HostCell, NumaWish, fit, in_use

TWO_CELLS = tuple(
    HostCell(
        id=id,
        shared=(8 * id, 8 * id + 1),
        dedicated=tuple(range(8 * id + 2, 8 * id + 8)),
        siblings=tuple((8 * id + n, 8 * id + n + 1) for n in range(0, 8, 2)),
        memory_mb=8192,
        pages=((2048, 1024), (1048576, 2)),
    )
    for id in (0, 1)
)


def wish(*vcpus: int, memory_mb: int = 1024, **more: Any) -> NumaWish:
    """Cells with that many vCPUs each."""
    firsts = [sum(vcpus[:index]) for index in range(len(vcpus))]
    cells = tuple(
        CellWish(vcpus=tuple(range(first, first + count)), memory_mb=memory_mb)
        for first, count in zip(firsts, vcpus, strict=True)
    )
    return NumaWish(cells=cells, **{"dedicated": True, **more})


def flavor(vcpus: int = 4, ram_mb: int = 4096, **specs: str) -> Flavor:
    named = {key.replace("__", ":").replace("DOT", "."): value for key, value in specs.items()}
    return Flavor(id="1", name="m1", vcpus=vcpus, ram_mb=ram_mb, disk_gb=1, extra_specs=named)


def placed(wanted: NumaWish, *held: tuple[GuestCell, ...]) -> tuple[GuestCell, ...] | None:
    return fit(TWO_CELLS, in_use(cell for cells in held for cell in cells), wanted)


def cpus(cells: tuple[GuestCell, ...] | None) -> list[int]:
    return [cpu for cell in cells or () for choice in cell.cpus for cpu in choice]


def test_dedicated_cpus_are_threads_of_one_core_where_they_can_be() -> None:
    first = placed(wish(1))
    second = placed(wish(2), first or ())
    assert first is not None
    assert second is not None
    assert cpus(first) == [2]
    # 3 is the other half of a core that is taken.
    assert cpus(second) == [4, 5]
    third = placed(wish(1), first, second)
    assert cpus(third) == [3]


def test_cells_of_a_guest_are_on_cells_of_the_host_each_of_its_own() -> None:
    both = placed(wish(4, 6))
    assert both is not None
    assert sorted(cell.id for cell in both) == [0, 1]
    assert [len(cell.cpus) for cell in both] == [4, 6]
    assert placed(wish(1, 1, 1)) is None
    assert placed(wish(7)) is None


def test_a_cell_that_was_taken_makes_way_for_one_that_fits_nowhere_else() -> None:
    taken = placed(wish(2))
    assert taken is not None
    # The first of the two would take the fuller cell, or the only one that the second fits in.
    for wanted in (wish(4, 6), wish(6, 4)):
        found = placed(wanted, taken)
        assert found is not None
        assert {len(cell.cpus): cell.id for cell in found} == {4: taken[0].id, 6: 1 - taken[0].id}


def test_threads_that_must_or_must_not_be_together() -> None:
    odd = placed(wish(1), placed(wish(1)) or ())
    assert cpus(placed(wish(4, threads="require"), odd or ())) == [4, 5, 6, 7]
    assert placed(wish(3, threads="require")) is None
    assert placed(wish(1, threads="isolate")) is None
    plain = tuple(cell.model_copy(update={"siblings": ()}) for cell in TWO_CELLS)
    assert cpus(fit(plain, (), wish(3, threads="isolate"))) == [2, 3, 4]
    assert fit(plain, (), wish(2, threads="require")) is None


@pytest.mark.parametrize(
    ("asked", "memory_mb", "size"),
    [
        (None, 1024, None),
        ("small", 1024, None),
        ("large", 1024, 1048576),
        ("large", 514, 2048),
        ("2048", 1024, 2048),
        ("any", 1024, 1048576),
        ("any", 513, None),
    ],
)
def test_memory_is_made_of_the_pages_asked_for(asked: str | None, memory_mb: int, size: int | None) -> None:
    found = placed(wish(1, memory_mb=memory_mb, page_size=asked))
    assert found is not None
    assert found[0].page_kib == size


def test_memory_that_is_taken_or_set_aside_for_huge_pages_is_not_given() -> None:
    # 8192 MiB, of which 2048 + 2048 MiB are huge pages.
    assert placed(wish(1, memory_mb=4097)) is None
    assert placed(wish(1, memory_mb=513, page_size="large")) is None
    held = [placed(wish(1, memory_mb=2048, page_size="1048576"))]
    again = placed(wish(1, memory_mb=1024, page_size="1048576"), *(cells or () for cells in held))
    assert held[0] is not None
    assert again is not None
    assert again[0].id != held[0][0].id


def test_guests_without_cpus_of_their_own_keep_to_the_shared_ones() -> None:
    found = placed(wish(2, dedicated=False))
    assert found is not None
    assert found[0].cpus == (TWO_CELLS[0].shared,) * 2
    assert in_use(found)[0].dedicated == ()
    assert placed(wish(3, dedicated=False)) is None


WISHES = st.builds(
    lambda counts, memory, threads, pages, dedicated: wish(
        *counts, memory_mb=memory, threads=threads, page_size=pages, dedicated=dedicated
    ),
    st.lists(st.integers(1, 4), min_size=1, max_size=2),
    st.sampled_from([256, 1024, 2048]),
    st.sampled_from(["prefer", "require"]),
    st.sampled_from([None, "small", "large", "any", "2048"]),
    st.booleans(),
)


@given(st.lists(WISHES, max_size=8), st.randoms(use_true_random=False))
def test_whatever_comes_and_goes_nothing_is_given_twice(wishes: list[NumaWish], dice: Any) -> None:
    held: list[tuple[GuestCell, ...]] = []
    for wanted in wishes:
        found = placed(wanted, *held)
        if found is not None:
            assert [(cell.vcpus, cell.memory_mb) for cell in found] == [(c.vcpus, c.memory_mb) for c in wanted.cells]
            held.append(found)
        if held and dice.random() < 0.3:
            held.pop(dice.randrange(len(held)))
        guests = [cell for cells in held for cell in cells]
        for host in TWO_CELLS:
            own = [cell for cell in guests if cell.id == host.id]
            given_out = Counter(cpu for cell in own if cell.dedicated for cpu in cpus((cell,)))
            assert set(given_out) <= set(host.dedicated)
            assert all(count == 1 for count in given_out.values())
            for size, count in host.pages:
                assert sum(cell.memory_mb * 1024 for cell in own if cell.page_kib == size) <= size * count
            assert sum(cell.memory_mb for cell in own if cell.page_kib is None) <= 4096


def test_what_flavors_ask_for_is_read() -> None:
    assert numa_wish(flavor()) is None
    assert numa_wish(flavor(hw__cpu_policy="shared")) is None
    pinned = numa_wish(flavor(hw__cpu_policy="dedicated", hw__emulator_threads_policy="share"))
    assert pinned == NumaWish(
        cells=(CellWish(vcpus=(0, 1, 2, 3), memory_mb=4096),), dedicated=True, share_emulator=True
    )
    assert numa_wish(flavor(resources__PCPU="4")) == pinned.model_copy(update={"share_emulator": False})
    halves = numa_wish(flavor(hw__numa_nodes="2", hw__mem_page_size="1GB"))
    assert halves is not None
    assert [cell.vcpus for cell in halves.cells] == [(0, 1), (2, 3)]
    assert halves.page_size == "1048576"
    specs = {"hw:numa_nodes": "2", "hw:numa_cpus.0": "0-3,^1", "hw:numa_mem.0": "3072"}
    uneven = flavor().model_copy(update={"extra_specs": {**specs, "hw:numa_cpus.1": "1", "hw:numa_mem.1": "1024"}})
    found = numa_wish(uneven)
    assert found is not None
    assert [(cell.vcpus, cell.memory_mb) for cell in found.cells] == [((0, 2, 3), 3072), ((1,), 1024)]
    assert cpu_set("4-6, ^5,1") == (1, 4, 6)


@pytest.mark.parametrize(
    "specs",
    [
        {"hw:cpu_policy": "mixed"},
        {"hw:cpu_thread_policy": "require"},
        {"hw:numa_nodes": "3"},
        {"hw:numa_nodes": "5"},
        {"hw:numa_nodes": "0"},
        {"hw:numa_cpus.0": "0-3"},
        {"hw:numa_cpus.0": "0-2", "hw:numa_mem.0": "4096"},
        {"hw:numa_cpus.0": "0-3", "hw:numa_mem.0": "4095"},
        {"hw:mem_page_size": "huge"},
        {"hw:watchdog_action": "reset"},
        {"hw:cpu_realtime": "yes"},
        {"pci_passthrough:alias": "gpu:1"},
        {"quota:cpu_shares": "10"},
        {"resources:VGPU": "1"},
        {"resources:PCPU": "2"},
        {"resources1:VCPU": "2"},
        {"trait1:HW_CPU_X86_AVX": "required"},
        {"trait:HW_CPU_X86_AVX": "maybe"},
        {"group_policy": "none"},
    ],
)
def test_what_is_not_done_or_contradicts_itself_is_refused(specs: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        check(flavor().model_copy(update={"extra_specs": specs}), None, ())


def test_what_says_nothing_of_guests_is_left_to_aggregates_and_capabilities() -> None:
    specs = {"ssd": "true", "capabilities:cpu_info:arch": "x86_64", "aggregate_instance_extra_specs:a": "b"}
    specs |= {"trait:CUSTOM_GOLD": "required", "hw_rng:allowed": "True", "resources:VCPU": "2"}
    check(flavor().model_copy(update={"extra_specs": specs}), None, ())
