"""PCI devices: which are free, which a guest gets, near its memory or not, and what flavors may ask for."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.domain.errors import BadRequest
from infra.domain.extra_specs import check, pci_wishes
from infra.domain.fitting import Parts, Wish, fit
from infra.domain.flavor import Flavor
from infra.domain.numa import CellUse, CellWish, HostCell, NumaWish
from infra.domain.pci import PciAlias, PciDevice, PciWish, free
from infra.domain.pci import fit as fit_devices
from infra.settings import SchedulerSettings

GPU = PciAlias(name="gpu", vendor_id="10de", product_id="1db6")
CARD = PciAlias(name="card", vendor_id="8086", product_id="10fb", device_type="type-PF")
PART = PciAlias(name="part", vendor_id="8086", product_id="10ed", device_type="type-VF")
MAKES = {"gpu": (GPU, "type-PCI"), "card": (CARD, "type-PF"), "part": (PART, "type-VF")}


def device(make: str, address: str, **more: Any) -> PciDevice:
    alias, type = MAKES[make]
    return PciDevice(
        address=f"0000:{address}", vendor_id=alias.vendor_id, product_id=alias.product_id, type=type, **more
    )


def gpus(*nodes: int | None) -> tuple[PciDevice, ...]:
    return tuple(device("gpu", f"65:{index:02x}.0", numa_node=node) for index, node in enumerate(nodes))


def wish(*aliases: PciAlias, count: int = 1, policy: str = "legacy") -> PciWish:
    return PciWish(count=count, any_of=aliases, numa_policy=policy)


def card(bus: str, parts: int) -> list[PciDevice]:
    whole = device("card", f"{bus}:00.0")
    return [
        whole,
        *(device("part", f"{bus}:10.{n}", physical_function=whole.address) for n in range(parts)),
    ]


def test_a_card_and_its_parts_are_not_given_to_two_guests() -> None:
    one = card("3b", 2)
    assert free(one, ()) == tuple(one)
    assert free(one, one[:1]) == ()
    assert free(one, one[1:2]) == (one[2],)
    # Its parts are gone from the report while a guest has the card.
    assert free(one[1:], one[:1]) == ()


def test_devices_of_one_group_go_to_one_guest() -> None:
    first, second, other = (device("gpu", f"65:00.{n}", iommu_group=group) for n, group in enumerate((4, 4, 5)))
    assert free((first, second, other), (first,)) == (other,)
    assert fit_devices((first, second), (), [wish(GPU, count=2)]) == (first, second)


def test_a_device_that_is_reported_no_more_is_still_taken() -> None:
    assert free(gpus(0), gpus(0)) == ()
    assert fit_devices((), gpus(0), [wish(GPU)]) is None


def test_who_may_have_either_makes_way() -> None:
    other = PciAlias(name="any", vendor_id="10de", product_id="20b0")
    a100 = PciDevice(address="0000:66:00.0", vendor_id="10de", product_id="20b0")
    wishes = [wish(GPU, other), wish(GPU)]
    assert fit_devices((*gpus(None), a100), (), wishes) == (a100, *gpus(None))
    assert fit_devices((*gpus(None), a100), (), [*wishes, wish(other)]) is None


def test_only_who_asks_for_a_card_gets_one_and_those_with_the_fewest_parts_go_first() -> None:
    big, small = card("3b", 3), card("3c", 1)
    plain = CARD.model_copy(update={"device_type": None})
    assert fit_devices([*big, *small], (), [wish(plain)]) is None
    assert fit_devices([*big, *small], (), [wish(PART, count=3), wish(CARD)]) == (small[0], *big[1:])
    assert fit_devices([*big, *small], (), [wish(PART, count=4), wish(CARD)]) is None


CELLS = tuple(HostCell(id=id, shared=(id,), dedicated=(10 + id,), memory_mb=1024, socket=id // 2) for id in range(4))
ONE = NumaWish(cells=(CellWish(vcpus=(0,), memory_mb=512),), dedicated=True)


def placed(
    nodes: tuple[int | None, ...], policy: str, count: int = 1, busy: tuple[int, ...] = ()
) -> tuple[list[int], list[int | None]] | None:
    """(cells, nodes of the devices) for a guest of one cell, on a host with four in two sockets."""
    held = tuple(CellUse(id=id, dedicated=(10 + id,)) for id in busy)
    wanted = Wish(topology=ONE, devices=(wish(GPU, count=count, policy=policy),))
    found = fit(Parts(CELLS, held, gpus(*nodes)), wanted)
    return found and ([cell.id for cell in found.cells], [device.numa_node for device in found.devices])


@pytest.mark.parametrize(
    ("nodes", "policy", "busy", "expected"),
    [
        ((2,), "required", (), ([2], [2])),
        ((2,), "legacy", (), ([2], [2])),
        ((2,), "preferred", (), ([2], [2])),
        ((2,), "required", (2,), None),
        ((2,), "legacy", (2,), None),
        ((2,), "socket", (2,), ([3], [2])),
        ((2,), "socket", (2, 3), None),
        ((2,), "preferred", (2,), ([0], [2])),
        ((None,), "legacy", (), ([0], [None])),
        ((None,), "required", (), None),
        ((None, 0), "required", (), ([0], [0])),
    ],
)
def test_a_device_is_as_near_the_guests_memory_as_its_policy_says(
    nodes: tuple[int | None, ...], policy: str, busy: tuple[int, ...], expected: object
) -> None:
    assert placed(nodes, policy, busy=busy) == expected


def test_as_few_devices_as_possible_are_away_from_the_guests_memory() -> None:
    assert placed((0, 3, 3), "preferred", count=3) == ([3], [3, 3, 0])


def test_a_guest_without_cells_leaves_devices_of_a_node_to_others() -> None:
    found = fit(Parts(CELLS, (), gpus(0, None)), Wish(devices=(wish(GPU, policy="required"),)))
    assert found is not None
    assert [device.numa_node for device in found.devices] == [None]


DEVICES = [*card("3b", 2), *card("3c", 1), *gpus(0, 1, None)]
WISHES = st.lists(
    st.builds(
        wish,
        st.sampled_from([GPU, CARD, PART]),
        count=st.integers(1, 2),
    ),
    min_size=1,
    max_size=3,
)


@given(WISHES, st.sets(st.sampled_from(range(len(DEVICES)))))
def test_it_finds_devices_where_there_are_any(wishes: list[PciWish], held: set[int]) -> None:
    taken = [DEVICES[index] for index in held]
    found = fit_devices(DEVICES, taken, wishes)
    asked = [wish.any_of[0] for wish in wishes for _ in range(wish.count)]
    if found is not None:
        assert len(found) == len(asked) == len({device.address for device in found})
        assert set(found) <= set(free(DEVICES, taken))
        assert not {device.physical_function for device in found} & {device.address for device in found}
        for alias in (GPU, CARD, PART):
            assert sum(alias.names(device) for device in found) == asked.count(alias)
        return
    # None: then no choice of free devices would do.
    for chosen in itertools.combinations(free(DEVICES, taken), len(asked)):
        apart = not {device.physical_function for device in chosen} & {device.address for device in chosen}
        exact = all(sum(alias.names(device) for device in chosen) == asked.count(alias) for alias in (GPU, CARD, PART))
        assert not (apart and exact)


def flavor(**specs: str) -> Flavor:
    named = {key.replace("__", ":"): value for key, value in specs.items()}
    return Flavor(id="1", name="m1", vcpus=1, ram_mb=512, disk_gb=1, extra_specs=named)


def test_what_flavors_ask_for_is_read() -> None:
    aliases = (GPU, CARD, GPU.model_copy(update={"product_id": "20b0"}))
    assert pci_wishes(flavor(), aliases) == ()
    found = pci_wishes(flavor(pci_passthrough__alias="gpu:2, card:1"), aliases)
    assert found == (wish(GPU, aliases[2], count=2), wish(CARD))
    near = flavor(pci_passthrough__alias="gpu:1", hw__pci_numa_affinity_policy="required")
    assert pci_wishes(near, (GPU,)) == (wish(GPU, policy="required"),)
    check(near, None, (GPU,))


@pytest.mark.parametrize(
    "text", ["", "gpu", "gpu:0", "gpu:x", "gpu:1,", "gpu:1;gpu:1", "gpu:-1", "gpu:20,gpu:13", ":1"]
)
def test_what_has_a_wrong_form_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="pci_passthrough:alias"):
        check(flavor(pci_passthrough__alias=text), None, (GPU,))


def test_what_nobody_defined_is_refused() -> None:
    with pytest.raises(BadRequest, match="PCI alias 'fpga' is not defined"):
        check(flavor(pci_passthrough__alias="gpu:1,fpga:1"), None, (GPU,))
    with pytest.raises(BadRequest, match="pci_numa_affinity_policy"):
        check(flavor(hw__pci_numa_affinity_policy="near"), None, (GPU,))


@pytest.mark.parametrize(
    "other", [{"device_type": "type-PF"}, {"numa_policy": "required"}, {"name": "a:b"}, {"vendor_id": "*"}]
)
def test_aliases_that_contradict_each_other_or_have_a_wrong_form_are_refused(other: dict[str, str]) -> None:
    plain = {"name": "gpu", "vendor_id": "10de", "product_id": "1db6"}
    SchedulerSettings(pci_alias=(plain, plain | {"product_id": "20b0"}))  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        SchedulerSettings(pci_alias=(plain, plain | other))  # type: ignore[arg-type]
