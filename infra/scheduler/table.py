"""All hosts as columns: one NumPy array for each figure, so that a filter or weigher is a few array operations.

Figures that differ from host to host are columns. What whole generations of hardware have in common (hypervisor,
CPU, traits) is a ``Kind``: predicates on it run once a kind, not once a host.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.domain.fitting import Parts, Wish, parts_of
from infra.domain.host import Aggregate, Claim, Host
from infra.domain.pci import PciWish
from infra.scheduler.columns import COLUMNS, Kind, kind_of
from infra.scheduler.states import States

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
ImageProperties = Mapping[tuple[str, str], int]
_FEW = 1000
"""States of hosts' parts that are kept though no host may be in them any more."""


class HostTable:
    """Hosts by row, in no promised order. ``as_of`` is the moment that liveness is judged at."""

    vcpus: NDArray[np.int64]
    vcpus_largest: NDArray[np.int64]
    vcpus_capacity: NDArray[np.int64]
    memory_mb: NDArray[np.int64]
    memory_mb_largest: NDArray[np.int64]
    memory_mb_capacity: NDArray[np.int64]
    memory_mb_reserved: NDArray[np.int64]
    disk_gb: NDArray[np.int64]
    disk_gb_largest: NDArray[np.int64]
    disk_gb_capacity: NDArray[np.int64]
    pcpus: NDArray[np.int64]
    pcpus_largest: NDArray[np.int64]
    pcpus_capacity: NDArray[np.int64]
    vcpus_claimed: NDArray[np.int64]
    memory_mb_claimed: NDArray[np.int64]
    disk_gb_claimed: NDArray[np.int64]
    pcpus_claimed: NDArray[np.int64]
    servers: NDArray[np.int64]
    io_ops: NDArray[np.int64]
    build_failures: NDArray[np.int64]
    hypervisor_version: NDArray[np.int64]
    pci_free: NDArray[np.int64]
    usable: Mask
    reported_at: Floats
    generation: NDArray[np.int64]
    changed: NDArray[np.int64]
    name_hash: NDArray[np.uint64]

    def __init__(
        self, hosts: Iterable[Host] = (), aggregates: Iterable[Aggregate] = (), *, as_of: datetime | None = None
    ) -> None:
        self.names: list[str] = []
        self.rows: dict[str, int] = {}
        self.kinds: list[Kind] = []
        self._kind_codes: dict[Kind, int] = {}
        self._zone_codes: dict[str, int] = {}
        self._topologies = States()
        self._devices = States()
        self.kind = np.empty(0, np.int32)
        self.topology = np.empty(0, np.int32)
        self.devices = np.empty(0, np.int32)
        self.zone = np.empty(0, np.int32)
        self.metrics: dict[str, Floats] = {}
        self.image_properties: dict[tuple[str, str], NDArray[np.int64]] = {}
        for name, (dtype, _) in COLUMNS.items():
            setattr(self, name, np.empty(0, dtype))
        self.aggregates: tuple[Aggregate, ...] = ()
        self._members: dict[int, Rows] = {}
        self.as_of = 0.0 if as_of is None else as_of.timestamp()
        self.update(hosts)
        self.set_aggregates(aggregates)

    def __len__(self) -> int:
        return len(self.names)

    def update(self, hosts: Iterable[Host]) -> None:
        """Add hosts, or replace all that is known of them but for their servers' image properties."""
        listed = list(hosts)
        self._grow([host.name for host in listed if host.name not in self.rows])
        if not listed:
            return
        rows = np.fromiter((self.rows[host.name] for host in listed), np.intp, len(listed))
        for name, (dtype, value) in COLUMNS.items():
            getattr(self, name)[rows] = np.fromiter((value(host) for host in listed), dtype, len(listed))
        self.kind[rows] = [self._kind_code(host) for host in listed]
        self.topology[rows] = [self._topologies.code(_cells(host)) for host in listed]
        if len(self._topologies) > 2 * len(self) + _FEW:
            self.topology = self._topologies.keep(self.topology)
        self.devices[rows] = [self._devices.code(_devices(host)) for host in listed]
        if len(self._devices) > 2 * len(self) + _FEW:
            self.devices = self._devices.keep(self.devices)
        self.zone[rows] = [self._zone_codes.setdefault(h.availability_zone, len(self._zone_codes)) for h in listed]
        for column in self.metrics.values():
            column[rows] = np.nan
        for row, host in zip(rows, listed, strict=True):
            for metric, reading in host.report.metrics.items():
                self.metrics.setdefault(metric, np.full(len(self), np.nan))[row] = reading

    def remove(self, names: Collection[str]) -> None:
        """Drop hosts; names that are not there are ignored."""
        gone = [self.rows[name] for name in names if name in self.rows]
        if not gone:
            return
        keep = np.ones(len(self), np.bool_)
        keep[gone] = False
        self._reshape(lambda column: column[keep])
        self.names = [name for name, kept in zip(self.names, keep, strict=True) if kept]
        self.rows = {name: row for row, name in enumerate(self.names)}
        self.set_aggregates(self.aggregates)

    def set_aggregates(self, aggregates: Iterable[Aggregate]) -> None:
        self.aggregates = tuple(aggregates)
        self._members = {
            aggregate.id: np.array([self.rows[host] for host in aggregate.hosts if host in self.rows], np.intp)
            for aggregate in self.aggregates
        }

    def set_image_properties(self, host: str, counts: ImageProperties) -> None:
        """How many servers of a host have each (property, value) of their image."""
        row = self.rows[host]
        for column in self.image_properties.values():
            column[row] = 0
        for key, count in counts.items():
            self.image_properties.setdefault(key, np.zeros(len(self), np.int64))[row] = count

    def set_totals(self, claim: Claim, totals: Mapping[str, int]) -> None:
        """What is claimed of a host after ``claim``, unless a later state is known already."""
        row = self.rows.get(claim.host)
        if row is None or totals["generation"] <= self.generation[row]:
            return
        if totals["generation"] > self.generation[row] + 1:
            # Something else changed before: the host is read again, as it is not known up to this change.
            totals = {**totals, "changed": int(self.changed[row])}
        for name, value in totals.items():
            getattr(self, name)[row] = value
        for key in claim.image_properties.items():
            self.image_properties.setdefault(key, np.zeros(len(self), np.int64))[row] += 1

    def change_of(self, name: str) -> int | None:
        """Number of the change up to which a host is known."""
        row = self.rows.get(name)
        return None if row is None else int(self.changed[row])

    def by_kind(self, predicate: Callable[[Kind], bool]) -> Mask:
        """Mask of the hosts whose kind satisfies ``predicate``."""
        verdicts = np.fromiter((predicate(kind) for kind in self.kinds), np.bool_, len(self.kinds))
        found: Mask = verdicts[self.kind] if len(self) else np.empty(0, np.bool_)
        return found

    def fits_topology(self, wish: Wish) -> Mask:
        """Hosts whose NUMA cells a guest which wishes this fits on now."""
        found: Mask = self._topologies.fits(wish)[self.topology] if len(self) else np.empty(0, np.bool_)
        return found

    def fits_devices(self, wish: Wish) -> Mask:
        """Hosts that have the devices, and the cells near them, for a guest which wishes this."""
        found: Mask = self._devices.fits(wish)[self.devices] if len(self) else np.empty(0, np.bool_)
        return found

    def free_devices(self, wish: PciWish) -> NDArray[np.int64]:
        """How many free devices each host has of those that a guest wishes for."""
        found: NDArray[np.int64] = self._devices.free(wish)[self.devices]
        return found

    def named(self, names: Iterable[str]) -> Mask:
        mask = np.zeros(len(self), np.bool_)
        mask[[self.rows[name] for name in names if name in self.rows]] = True
        return mask

    def counts(self, names: Iterable[str]) -> NDArray[np.int64]:
        """How often each host is in ``names``."""
        counts = np.zeros(len(self), np.int64)
        for name in names:
            row = self.rows.get(name)
            if row is not None:
                counts[row] += 1
        return counts

    def in_zone(self, zone: str) -> Mask:
        found: Mask = self.zone == self._zone_codes.get(zone, -1)
        return found

    def in_aggregates(self, wanted: Callable[[Aggregate], bool]) -> Mask:
        """Hosts that are in at least one aggregate that ``wanted`` is true of."""
        mask = np.zeros(len(self), np.bool_)
        for aggregate in self.aggregates:
            if wanted(aggregate):
                mask[self._members[aggregate.id]] = True
        return mask

    def aggregate_minimum(self, key: str, default: float) -> Floats:
        """For each host the least number that its aggregates' metadata have under ``key``, else ``default``."""
        values = np.full(len(self), np.inf)
        for aggregate in self.aggregates:
            number = _number(aggregate.metadata.get(key))
            if number is not None:
                rows = self._members[aggregate.id]
                values[rows] = np.minimum(values[rows], number)
        return np.where(np.isinf(values), default, values)

    def _grow(self, names: list[str]) -> None:
        fresh = list(dict.fromkeys(names))
        if not fresh:
            return
        self.rows.update({name: row for row, name in enumerate(fresh, len(self.names))})
        self.names = self.names + fresh
        self._reshape(lambda column: np.concatenate([column, np.zeros(len(fresh), column.dtype)]))
        self.set_aggregates(self.aggregates)

    def _reshape(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        for name in (*COLUMNS, "kind", "topology", "devices", "zone"):
            setattr(self, name, change(getattr(self, name)))
        self.metrics = {name: change(column) for name, column in self.metrics.items()}
        self.image_properties = {key: change(column) for key, column in self.image_properties.items()}

    def _kind_code(self, host: Host) -> int:
        kind = kind_of(host)
        code = self._kind_codes.get(kind)
        if code is None:
            code = self._kind_codes[kind] = len(self.kinds)
            self.kinds.append(kind)
        return code


def _cells(host: Host) -> Parts:
    return Parts(host.report.numa, host.numa_used)


def _devices(host: Host) -> Parts:
    """None at all of most hosts, whatever their cells are in."""
    return parts_of(host) if host.report.pci_devices else Parts()


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        # Metadata are free text: what is no number says nothing about this key.
        return None
