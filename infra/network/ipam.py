"""Address arithmetic of the Network Service: CIDRs, allocation pools, gaps. Pure; IPv4 and IPv6 alike.

Rules as in the Networking API v2.0 reference (subnets): a subnet's default gateway is its first address, its
default pool is everything else that a host may have.
"""

import ipaddress
import itertools
import random
from collections.abc import Callable, Iterable, Sequence

from infra.domain.errors import BadRequest
from infra.domain.network import AllocationPool

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

MAC_PREFIX = "fa:16:3e"
MAX_VNI = 2**24 - 1
_WINDOW = 64


def network_of(cidr: str, ip_version: int) -> IpNetwork:
    """Parse a subnet's CIDR.

    Raises:
        BadRequest: it is no CIDR of this IP version, has host bits set or covers everything.
    """
    try:
        if "%" in cidr or "/" not in cidr:
            raise ValueError
        loose = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        raise _invalid(f"'{cidr}' is not a valid CIDR.") from None
    if loose.version != ip_version:
        raise _invalid(f"The CIDR {cidr} does not match the ip_version '{ip_version}'.")
    if loose.prefixlen == 0:
        raise _invalid("0 is not allowed as CIDR prefix length.")
    if str(address_of(cidr.partition("/")[0])) != str(loose.network_address):
        raise _invalid(f"'{cidr}' isn't a recognized IP subnet cidr, '{loose}' is recommended.")
    if loose.is_multicast or loose.is_loopback or loose.network_address.is_unspecified:
        raise _invalid(f"The CIDR {cidr} can't hold hosts.")
    return loose


def address_of(text: str) -> IpAddress:
    """Parse an address without a scope id.

    Raises:
        BadRequest: it is none.
    """
    try:
        if "%" in text:
            raise ValueError
        return ipaddress.ip_address(text)
    except ValueError:
        raise _invalid(f"'{text}' is not a valid IP address.") from None


def key(address: IpAddress | int) -> str:
    """The address as text that sorts as the number does."""
    return f"{int(address):032x}"


def usable(network: IpNetwork) -> tuple[int, int]:
    """First and last address that a host may have, as numbers (RFC 3021 for /31, RFC 4291 2.6.1 for IPv6)."""
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.max_prefixlen - network.prefixlen < 2:
        return first, last
    return first + 1, last - 1 if network.version == 4 else last


def default_gateway(network: IpNetwork) -> str:
    return str(_ip(usable(network)[0], network.version))


def default_pools(network: IpNetwork, gateway: str | None) -> tuple[AllocationPool, ...]:
    """All usable addresses but the gateway's."""
    first, last = usable(network)
    ranges = [(first, last)]
    if gateway is not None and first <= (g := int(address_of(gateway))) <= last:
        ranges = [(first, g - 1), (g + 1, last)]
    return tuple(_pool(a, b, network.version) for a, b in ranges if a <= b)


def check_gateway(network: IpNetwork, gateway: str) -> str:
    """The gateway in normal form.

    Raises:
        BadRequest: it is of the other IP version, or the subnet's network or broadcast address. A gateway outside
            the subnet is allowed, as in Neutron (on-link routes).
    """
    address = address_of(gateway)
    if address.version != network.version:
        raise _invalid(f"The gateway {gateway} is not of the subnet's IP version.")
    first, last = usable(network)
    if address in network and not first <= int(address) <= last:
        raise BadRequest(f"Gateway {gateway} is not valid on subnet {network}.", kind="GatewayNotValid")
    if address.is_multicast or address.is_loopback or address.is_unspecified:
        raise BadRequest(f"Gateway {gateway} is not valid on subnet {network}.", kind="GatewayNotValid")
    return str(address)


def check_pools(network: IpNetwork, pools: Iterable[AllocationPool], gateway: str | None) -> tuple[AllocationPool, ...]:
    """The pools in normal form and ascending order.

    Raises:
        BadRequest: start after end or of another IP version, outside the subnet, overlapping, or over the gateway.
    """
    ranges = []
    for pool in pools:
        start, end = address_of(pool.start), address_of(pool.end)
        name = f"{pool.start}-{pool.end}"
        if {start.version, end.version} != {network.version} or start > end:  # type: ignore[operator]
            raise BadRequest(f"The allocation pool {name} is not valid.", kind="InvalidAllocationPool")
        first, last = usable(network)
        if int(start) < first or int(end) > last:
            message = f"The allocation pool {name} spans beyond the subnet cidr {network}."
            raise BadRequest(message, kind="OutOfBoundsAllocationPool")
        if gateway is not None and int(start) <= int(address_of(gateway)) <= int(end):
            raise gateway_conflict(gateway, name)
        ranges.append((int(start), int(end)))
    ranges.sort()
    for (_, before), (after, _) in itertools.pairwise(ranges):
        if after <= before:
            raise BadRequest(f"Found overlapping allocation pools in {network}.", kind="OverlappingAllocationPools")
    return tuple(_pool(a, b, network.version) for a, b in ranges)


def gateway_conflict(gateway: str, pool: str) -> BadRequest:
    return BadRequest(
        f"Gateway ip {gateway} conflicts with allocation pool {pool}.", kind="GatewayConflictWithAllocationPools"
    )


def in_subnet(address: IpAddress, network: IpNetwork) -> bool:
    """True if a port of the subnet may have this address."""
    first, last = usable(network)
    return address.version == network.version and first <= int(address) <= last


def free(
    pools: Sequence[AllocationPool],
    count: Callable[[int, int], int],
    taken: Callable[[int, int], set[int]],
) -> list[str]:
    """The lowest free addresses of the pools: at least one if there is any, at most a window's worth.

    Args:
        count: how many addresses of ``[first, last]`` are in use.
        taken: which ones; only asked for windows of 64 addresses or fewer.

    A window that doubles finds the first stretch with a gap and bisection narrows it, so that a subnet of any size
    costs a few counts and one short read.
    """
    for pool in pools:
        start, end = address_of(pool.start), int(address_of(pool.end))
        low, size = int(start), _WINDOW
        while low <= end:
            high = min(low + size - 1, end)
            found = _gaps(low, high, count, taken)
            if found:
                return [str(_ip(number, start.version)) for number in found]
            low, size = high + 1, size * 2
    return []


def _gaps(low: int, high: int, count: Callable[[int, int], int], taken: Callable[[int, int], set[int]]) -> list[int]:
    if high - low >= _WINDOW and count(low, high) == high - low + 1:
        return []
    while high - low >= _WINDOW:
        middle = (low + high) // 2
        if count(low, middle) < middle - low + 1:
            high = middle
        else:
            low = middle + 1
    used = taken(low, high)
    return [number for number in range(low, high + 1) if number not in used]


def random_mac() -> str:
    """An address under OpenStack's own prefix."""
    tail = random.getrandbits(24)
    return f"{MAC_PREFIX}:{tail >> 16:02x}:{tail >> 8 & 255:02x}:{tail & 255:02x}"


def random_vni() -> int:
    return random.randint(1, MAX_VNI)  # noqa: S311 - an identifier on the wire is no secret


def _ip(number: int, version: int) -> IpAddress:
    return ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number)


def _pool(start: int, end: int, version: int) -> AllocationPool:
    return AllocationPool(start=str(_ip(start, version)), end=str(_ip(end, version)))


def _invalid(what: str) -> BadRequest:
    return BadRequest(f"Invalid input for operation: {what}", kind="InvalidInput")
