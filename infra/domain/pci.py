"""PCI devices that guests have to themselves: what hosts offer, what flavors ask for, and which fit. Pure rules.

Terms and forms as in Nova's guide "Attaching physical PCI devices to guests": an alias names devices, a flavor asks
for some of an alias.
"""

import re
from collections.abc import Collection, Sequence
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from infra.domain.matching import match

ANY = "*"
_PLACES = (4, 2, 2, 1)
"""Hexadecimal digits of an address's domain, bus, slot and function."""


def _address(text: str) -> str:
    places, _, function = text.lower().partition(".")
    parts = [part.strip() or ANY for part in (*places.split(":"), function)]
    parts = [ANY] * (len(_PLACES) - len(parts)) + parts
    if len(parts) > len(_PLACES) or not all(
        part == ANY or re.fullmatch(rf"[0-9a-f]{{1,{digits}}}", part)
        for part, digits in zip(parts, _PLACES, strict=False)
    ):
        raise ValueError("an address such as 0000:65:00.0 is expected, each part of which may be * or left out")
    domain, bus, slot, last = (
        part if part == ANY else part.zfill(digits) for part, digits in zip(parts, _PLACES, strict=True)
    )
    return f"{domain}:{bus}:{slot}.{last}"


Number = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{4}$"), AfterValidator(str.lower)]
"""A vendor's or a product's, four hexadecimal digits."""
Type = Literal["type-PCI", "type-PF", "type-VF"]
Policy = Literal["required", "preferred", "legacy", "socket"]
"""Whether a device must be, or should be, near the guest's memory."""
POLICIES: tuple[str, ...] = get_args(Policy)


class PciDevice(BaseModel):
    """A device that a guest can have."""

    model_config = ConfigDict(frozen=True)

    address: str
    """``0000:65:00.0``."""
    vendor_id: str
    product_id: str
    type: str = "type-PCI"
    """``type-PF``: a card that can be divided; ``type-VF``: a part of one; ``type-PCI``: any other."""
    physical_function: str | None = None
    """The card that a ``type-VF`` is a part of."""
    numa_node: int | None = None
    iommu_group: int | None = None
    """Devices of one group can't be kept apart: they go to one guest."""

    @property
    def resource_class(self) -> str:
        """As Nova names it in the Placement API."""
        return f"CUSTOM_PCI_{self.vendor_id}_{self.product_id}".upper()


class PciDeviceSpec(BaseModel):
    """Devices that a host's settings offer: those that every part matches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vendor_id: Number | Literal["*"] = ANY
    product_id: Number | Literal["*"] = ANY
    address: Annotated[str, AfterValidator(_address)] = "*:*:*.*"
    """Of a card that can be divided it stands for its parts too."""

    def offers(self, device: PciDevice) -> bool:
        return (
            self.vendor_id in (ANY, device.vendor_id)
            and self.product_id in (ANY, device.product_id)
            and (_matches(self.address, device.address) or self.address == device.physical_function)
        )


def _matches(pattern: str, address: str) -> bool:
    parts = zip(re.split("[:.]", pattern), re.split("[:.]", address), strict=True)
    return all(wanted in (ANY, found) for wanted, found in parts)


class PciAlias(BaseModel):
    """A name for devices of one make; aliases of the same name are alternatives."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[^:,\s]([^:,]{0,253}[^:,\s])?$")]
    vendor_id: Number
    product_id: Number
    device_type: Type | None = None
    """None: any but a card that can be divided."""
    numa_policy: Policy = "legacy"

    def names(self, device: PciDevice) -> bool:
        suits = device.type != "type-PF" if self.device_type is None else device.type == self.device_type
        return suits and (device.vendor_id, device.product_id) == (self.vendor_id, self.product_id)


def agreeing(aliases: tuple[PciAlias, ...]) -> tuple[PciAlias, ...]:
    """Raises ValueError if aliases of one name differ in type or policy."""
    first: dict[str, PciAlias] = {}
    for alias in aliases:
        known = first.setdefault(alias.name, alias)
        if (known.device_type, known.numa_policy) != (alias.device_type, alias.numa_policy):
            raise ValueError(f"the aliases named {alias.name} must have the same device_type and numa_policy")
    return aliases


class PciWish(BaseModel):
    """How many devices a flavor asks for, each of which one of the aliases names."""

    model_config = ConfigDict(frozen=True)

    count: int
    any_of: tuple[PciAlias, ...]
    numa_policy: str = "legacy"

    @property
    def of_cards(self) -> bool:
        return self.any_of[0].device_type == "type-PF"

    @property
    def alias(self) -> str:
        return self.any_of[0].name

    def names(self, device: PciDevice) -> bool:
        return any(alias.names(device) for alias in self.any_of)


class Nearness(BaseModel):
    """Where a guest's memory is."""

    model_config = ConfigDict(frozen=True)

    nodes: frozenset[int]
    around: frozenset[int]
    """All nodes of the sockets that ``nodes`` are in."""


def free(devices: Sequence[PciDevice], taken: Collection[PciDevice]) -> tuple[PciDevice, ...]:
    """Devices that a guest could get: nobody has them, their card, a part of them, or another of their IOMMU group.

    Args:
        devices: what the host reports now.
        taken: what guests have; some may be reported no more.
    """
    now = {device.address: device for device in (*taken, *devices)}
    groups = {now[device.address].iommu_group for device in taken} - {None}
    return tuple(device for device in _apart(devices, taken) if device.iommu_group not in groups)


def fit(
    devices: Sequence[PciDevice],
    taken: Collection[PciDevice],
    wishes: Sequence[PciWish],
    near: Nearness | None = None,
) -> tuple[PciDevice, ...] | None:
    """A device for each that is wished for; None if the host has not as many.

    Cards are given out before parts, those with the fewest parts left first.

    Args:
        near: None for a guest that may be anywhere on the host: then policies say nothing.
    """
    left = free(devices, taken)
    parts = [device.physical_function for device in left]
    chosen: list[PciDevice] = []
    for of_cards in (True, False):
        ordered = sorted(
            _apart(left, chosen),
            key=lambda device: (_far(device, near), parts.count(device.address), device.address),
        )
        asked = [wish for wish in wishes for _ in range(wish.count) if wish.of_cards == of_cards]
        found = match([[device for device in ordered if _suits(device, wish, near)] for wish in asked])
        if found is None:
            return None
        chosen += found
    return tuple(chosen)


def far_away(devices: Collection[PciDevice], near: Nearness) -> int:
    """How many of these are known to be elsewhere than the guest's memory."""
    return sum(_far(device, near) for device in devices)


def _apart(devices: Sequence[PciDevice], taken: Collection[PciDevice]) -> list[PciDevice]:
    gone = {device.address for device in taken}
    divided = {device.physical_function for device in taken}
    return [d for d in devices if d.address not in gone | divided and d.physical_function not in gone]


def _far(device: PciDevice, near: Nearness | None) -> bool:
    if near is None:
        # Devices of no node are of least use to guests that care.
        return device.numa_node is not None
    return device.numa_node is not None and device.numa_node not in near.nodes


def _suits(device: PciDevice, wish: PciWish, near: Nearness | None) -> bool:
    if not wish.names(device):
        return False
    if near is None or wish.numa_policy == "preferred":
        return True
    if wish.numa_policy == "socket":
        return device.numa_node in near.around
    return device.numa_node in near.nodes or (wish.numa_policy == "legacy" and device.numa_node is None)
