"""The parts of a host that its guests have to themselves, piece by piece: CPUs and memory of its cells, PCI devices.

Both are chosen together, as a device may have to be near the guest's memory. Pure rules.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from infra.domain import numa, pci
from infra.domain.host import Host
from infra.domain.numa import CellUse, GuestCell, HostCell, NumaWish
from infra.domain.pci import Nearness, PciDevice, PciWish


class Parts(NamedTuple):
    """What a host has, and what its guests hold of it."""

    cells: tuple[HostCell, ...] = ()
    cells_used: tuple[CellUse, ...] = ()
    devices: tuple[PciDevice, ...] = ()
    devices_used: tuple[PciDevice, ...] = ()


class Wish(BaseModel):
    model_config = ConfigDict(frozen=True)

    topology: NumaWish | None = None
    devices: tuple[PciWish, ...] = ()

    def __bool__(self) -> bool:
        return self.topology is not None or bool(self.devices)


class Fitted(BaseModel):
    """What a guest gets."""

    model_config = ConfigDict(frozen=True)

    cells: tuple[GuestCell, ...] = ()
    devices: tuple[PciDevice, ...] = ()


def parts_of(host: Host) -> Parts:
    return Parts(host.report.numa, host.numa_used, host.report.pci_devices, host.pci_used)


def fit(host: Parts, wish: Wish) -> Fitted | None:
    """Cells and devices for a guest, with as few devices as possible away from its memory; None if it does not fit."""
    if wish.topology is None:
        devices = pci.fit(host.devices, host.devices_used, wish.devices)
        return None if devices is None else Fitted(devices=devices)
    best: Fitted | None = None
    least = 0
    for cells in _choices(host, wish):
        placed = numa.fit(cells, host.cells_used, wish.topology)
        if placed is None and cells is host.cells:
            return None
        if placed is None:
            continue
        near = _near(host.cells, placed)
        devices = pci.fit(host.devices, host.devices_used, wish.devices, near)
        if devices is None:
            continue
        far = pci.far_away(devices, near)
        if best is None or far < least:
            best, least = Fitted(cells=placed, devices=devices), far
        if not least:
            break
    return best


def _choices(host: Parts, wish: Wish) -> Iterator[tuple[HostCell, ...]]:
    """All cells first: what fits there without devices that matter is placed as if there were none."""
    yield host.cells
    if wish.devices and wish.topology is not None:
        yield from combinations(host.cells, len(wish.topology.cells))


def _near(cells: tuple[HostCell, ...], placed: tuple[GuestCell, ...]) -> Nearness:
    nodes = frozenset(cell.id for cell in placed)
    sockets = {cell.socket for cell in cells if cell.id in nodes} - {None}
    return Nearness(nodes=nodes, around=nodes | {cell.id for cell in cells if cell.socket in sockets})
