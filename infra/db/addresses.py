"""Addresses of ports: which are free, who gets them. The database's primary key (subnet, address) decides races."""

import random
from collections.abc import Iterable, Sequence
from typing import cast

from sqlalchemy import bindparam, delete, func
from sqlmodel import Session, col, select

from infra.db.network_rows import LOCKS, insert, within
from infra.db.statements import Lookup, run
from infra.db.tables.network import AddressRow, SubnetRow
from infra.domain.errors import BadRequest, Conflict
from infra.domain.network import AddressWish, AllocationPool, FixedIp
from infra.network import ipam

_TRIES = 16
_SUBNETS = Lookup(SubnetRow, "network_id", order_by=("created_at", "id"), lock=LOCKS["use"])
_BETWEEN = (
    col(AddressRow.subnet_id) == bindparam("in_subnet"),
    col(AddressRow.address_key).between(bindparam("first"), bindparam("last")),
)
_COUNT = select(func.count()).select_from(AddressRow).where(*_BETWEEN)
_TAKEN = select(AddressRow.address_key).where(*_BETWEEN)


def allocate(
    session: Session, network_id: str, port_id: str, wishes: Sequence[AddressWish] | None, *, position: int = 0
) -> tuple[FixedIp, ...]:
    """Give a port its addresses; the caller holds the network against deletion.

    Args:
        wishes: None for one address of each IP version that the network has.
        position: place of the first one in the port's ``fixed_ips``.

    Raises:
        BadRequest: no such subnet on this network, or an address outside it.
        Conflict: IpAddressInUse or IpAddressGenerationFailure.
    """
    subnets = _subnets(session, network_id)
    taken: list[FixedIp] = []
    if wishes is None:
        for version in (4, 6):
            of_version = [subnet for subnet in subnets if subnet.ip_version == version]
            if of_version:
                taken.append(_take_any(session, network_id, port_id, of_version, position + len(taken)))
        return tuple(taken)
    for n, wish in enumerate(wishes, position):
        subnet = _subnet_for(network_id, subnets, wish)
        if wish.ip_address is None:
            taken.append(_take_any(session, network_id, port_id, [subnet], n))
        else:
            taken.append(take(session, subnet, port_id, wish.ip_address, n))
    return tuple(taken)


def take(session: Session, subnet: SubnetRow, port_id: str, address: str, position: int) -> FixedIp:
    """Take this very address.

    Raises:
        BadRequest: InvalidIpForSubnet.
        Conflict: IpAddressInUse.
    """
    parsed = ipam.address_of(address)
    if not ipam.in_subnet(parsed, ipam.network_of(subnet.cidr, subnet.ip_version)):
        message = f"IP address {address} is not a valid IP for the specified subnet."
        raise BadRequest(message, kind="InvalidIpForSubnet")
    if not insert(session, _row(subnet, port_id, str(parsed), position)):
        raise Conflict(
            f"Unable to complete operation for network {subnet.network_id}. The IP address {parsed} is in use.",
            kind="IpAddressInUse",
        )
    return FixedIp(subnet_id=subnet.id, ip_address=str(parsed))


def take_lowest(session: Session, subnet: SubnetRow, port_id: str, position: int) -> FixedIp | None:
    """Take the lowest free address of the pools; where others are quicker, another near it. None if none is left."""
    pools = [AllocationPool(**pool) for pool in subnet.allocation_pools]
    for attempt in range(_TRIES):
        candidates = ipam.free(
            pools,
            lambda first, last: _count(session, subnet.id, first, last),
            lambda first, last: _taken(session, subnet.id, first, last),
        )
        if not candidates:
            return None
        address = candidates[0] if attempt == 0 else random.choice(candidates)  # noqa: S311
        if insert(session, _row(subnet, port_id, address, position)):
            return FixedIp(subnet_id=subnet.id, ip_address=address)
    return None


def conform(session: Session, network_id: str, port_id: str, wishes: Sequence[AddressWish]) -> None:
    """Make a port's addresses what ``wishes`` say; one that fits a wish already is kept.

    Raises:
        as ``allocate``.
    """
    have = list(
        session.exec(select(AddressRow).where(AddressRow.port_id == port_id).order_by(col(AddressRow.position)))
    )
    missing: list[tuple[int, AddressWish]] = []
    exact_first = sorted(enumerate(wishes), key=lambda item: item[1].ip_address is None)
    for n, wish in exact_first:
        kept = next((row for row in have if _fits(row, wish)), None)
        if kept is None:
            missing.append((n, wish))
            continue
        have.remove(kept)
        kept.position = n
        session.add(kept)
    for row in have:
        session.delete(row)
    session.flush()
    for n, wish in missing:
        allocate(session, network_id, port_id, [wish], position=n)


def of_ports(session: Session, port_ids: Sequence[str]) -> dict[str, tuple[FixedIp, ...]]:
    """Fixed addresses by port, in their order."""
    found: dict[str, tuple[FixedIp, ...]] = dict.fromkeys(port_ids, ())
    if port_ids:
        query = select(AddressRow).where(within(AddressRow.port_id, port_ids)).order_by(col(AddressRow.position))
        for row in session.exec(query):
            found[row.port_id] += (FixedIp(subnet_id=row.subnet_id, ip_address=row.ip_address),)
    return found


def release(session: Session, port_ids: Sequence[str]) -> None:
    session.execute(delete(AddressRow).where(within(AddressRow.port_id, port_ids)))


def _fits(row: AddressRow, wish: AddressWish) -> bool:
    if wish.subnet_id is not None and wish.subnet_id != row.subnet_id:
        return False
    return wish.ip_address is None or str(ipam.address_of(wish.ip_address)) == row.ip_address


def _take_any(session: Session, network_id: str, port_id: str, subnets: Iterable[SubnetRow], position: int) -> FixedIp:
    for subnet in subnets:
        taken = take_lowest(session, subnet, port_id, position)
        if taken is not None:
            return taken
    raise exhausted(network_id)


def exhausted(network_id: str) -> Conflict:
    return Conflict(f"No more IP addresses available on network {network_id}.", kind="IpAddressGenerationFailure")


def _subnet_for(network_id: str, subnets: Sequence[SubnetRow], wish: AddressWish) -> SubnetRow:
    if wish.subnet_id is not None:
        found = next((subnet for subnet in subnets if subnet.id == wish.subnet_id), None)
        if found is None:
            raise BadRequest(
                f"Invalid input for operation: Failed to create port on network {network_id}, because fixed_ips "
                f"included invalid subnet {wish.subnet_id}.",
                kind="InvalidInput",
            )
        return found
    assert wish.ip_address is not None
    address = ipam.address_of(wish.ip_address)
    for subnet in subnets:
        if ipam.in_subnet(address, ipam.network_of(subnet.cidr, subnet.ip_version)):
            return subnet
    message = f"IP address {address} is not a valid IP for any of the subnets on the specified network."
    raise BadRequest(message, kind="InvalidIpForNetwork")


def _subnets(session: Session, network_id: str) -> Sequence[SubnetRow]:
    # Past the session: they have the row's attributes, and are only read.
    return cast(Sequence[SubnetRow], _SUBNETS.all(session, network_id))


def _row(subnet: SubnetRow, port_id: str, address: str, position: int) -> AddressRow:
    key = ipam.key(ipam.address_of(address))
    return AddressRow(subnet_id=subnet.id, address_key=key, ip_address=address, port_id=port_id, position=position)


def _between(subnet_id: str, first: int, last: int) -> dict[str, str]:
    return {"in_subnet": subnet_id, "first": ipam.key(first), "last": ipam.key(last)}


def _count(session: Session, subnet_id: str, first: int, last: int) -> int:
    return int(run(session, _COUNT, _between(subnet_id, first, last)).scalar_one())


def _taken(session: Session, subnet_id: str, first: int, last: int) -> set[int]:
    return {int(key, 16) for (key,) in run(session, _TAKEN, _between(subnet_id, first, last))}
