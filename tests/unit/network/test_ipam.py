import ipaddress
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.errors import BadRequest
from infra.domain.network import AllocationPool
from infra.network import ipam


def pool(start: str, end: str) -> AllocationPool:
    return AllocationPool(start=start, end=end)


def free(pools: list[AllocationPool], used: set[int], asked: list[int] | None = None) -> list[str]:
    """``ipam.free`` over a set, which also notes how many addresses each short read covered."""

    def taken(first: int, last: int) -> set[int]:
        assert last - first < 64
        if asked is not None:
            asked.append(last - first + 1)
        return {number for number in range(first, last + 1) if number in used}

    return ipam.free(pools, lambda first, last: sum(first <= number <= last for number in used), taken)


@given(st.integers(1, 600), st.data())
def test_the_lowest_free_address_is_found(size: int, data: st.DataObject) -> None:
    start = int(ipaddress.ip_address("10.0.0.7"))
    used = set(range(start, start + data.draw(st.integers(0, size))))
    for _ in range(data.draw(st.integers(0, 3))):
        used.discard(data.draw(st.integers(start, start + size - 1)))
    gaps = [number for number in range(start, start + size) if number not in used]
    last = str(ipaddress.ip_address(start + size - 1))
    found = free([pool("10.0.0.7", last)], used)
    assert found[:1] == [str(ipaddress.ip_address(number)) for number in gaps[:1]]
    assert not {int(ipaddress.ip_address(each)) for each in found} & used


def test_pools_are_used_in_turn() -> None:
    pools = [pool("10.0.0.2", "10.0.0.3"), pool("10.0.0.9", "10.0.0.9")]
    first = int(ipaddress.ip_address("10.0.0.2"))
    assert free(pools, {first, first + 1}) == ["10.0.0.9"]
    assert free(pools, {first, first + 1, first + 7}) == []
    assert free([], set()) == []


def test_a_large_subnet_costs_one_short_read() -> None:
    start = int(ipaddress.ip_address("2001:db8::2"))
    used = set(range(start, start + 5000)) - {start + 3210}
    asked: list[int] = []
    assert free([pool("2001:db8::2", "2001:db8::ffff:ffff:ffff:ffff")], used, asked)[0] == str(
        ipaddress.ip_address(start + 3210)
    )
    assert len(asked) <= 2


def test_keys_sort_as_addresses_do() -> None:
    numbers = [random.getrandbits(128) for _ in range(100)]
    assert sorted(numbers) == sorted(numbers, key=lambda number: ipam.key(number))


@pytest.mark.parametrize(
    ("cidr", "gateway", "pools"),
    [
        ("10.0.0.0/30", "10.0.0.1", [("10.0.0.2", "10.0.0.2")]),
        ("10.0.0.0/31", "10.0.0.0", [("10.0.0.1", "10.0.0.1")]),
        ("10.0.0.0/32", "10.0.0.0", []),
        ("2001:db8::/126", "2001:db8::1", [("2001:db8::2", "2001:db8::3")]),
    ],
)
def test_defaults_of_small_subnets(cidr: str, gateway: str, pools: list[tuple[str, str]]) -> None:
    network = ipam.network_of(cidr, 6 if ":" in cidr else 4)
    assert ipam.default_gateway(network) == gateway
    assert [(each.start, each.end) for each in ipam.default_pools(network, gateway)] == pools


def test_a_gateway_amid_the_pool_splits_it() -> None:
    network = ipam.network_of("10.0.0.0/24", 4)
    made = ipam.default_pools(network, "10.0.0.100")
    assert made == (pool("10.0.0.1", "10.0.0.99"), pool("10.0.0.101", "10.0.0.254"))
    assert ipam.check_pools(network, reversed(made), "10.0.0.100") == made
    with pytest.raises(BadRequest, match="conflicts"):
        ipam.check_pools(network, made, "10.0.0.99")


@given(st.text(max_size=40))
def test_any_text_is_a_cidr_or_refused(text: str) -> None:
    try:
        network = ipam.network_of(text, 4)
    except BadRequest:
        return
    assert network.prefixlen > 0


def test_drawn_addresses_have_their_form() -> None:
    mac = ipam.random_mac()
    assert mac.startswith("fa:16:3e:")
    assert len(mac) == 17
    assert 1 <= ipam.random_vni() <= 2**24 - 1
