"""NUMA cells of hosts and guests: which CPUs and which memory of a host a guest may have. Pure rules."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from pydantic import BaseModel, ConfigDict

from infra.domain.matching import match

_KIB_IN_MIB = 1024


class HostCell(BaseModel):
    """A NUMA cell of a host."""

    model_config = ConfigDict(frozen=True)

    id: int
    shared: tuple[int, ...] = ()
    """CPUs that guests without a policy run on."""
    dedicated: tuple[int, ...] = ()
    """CPUs that are given to one guest each."""
    siblings: tuple[tuple[int, ...], ...] = ()
    """CPUs that are threads of one core, for cores that have several."""
    memory_mb: int
    pages: tuple[tuple[int, int], ...] = ()
    """Huge pages: (size in KiB, how many there are)."""
    socket: int | None = None
    """The processor socket that its CPUs are in."""


class CellUse(BaseModel):
    """What guests hold of a host's cell."""

    model_config = ConfigDict(frozen=True)

    id: int
    dedicated: tuple[int, ...] = ()
    memory_mb: int = 0
    """In small pages, of guests that are bound to the cell."""
    pages: tuple[tuple[int, int], ...] = ()
    """Huge pages: (size in KiB, how many are taken)."""


class CellWish(BaseModel):
    model_config = ConfigDict(frozen=True)

    vcpus: tuple[int, ...]
    memory_mb: int


class NumaWish(BaseModel):
    """What a flavor asks of its host's topology."""

    model_config = ConfigDict(frozen=True)

    cells: tuple[CellWish, ...]
    dedicated: bool = False
    """Each vCPU has a CPU of the host to itself."""
    threads: str = "prefer"
    """``prefer`` threads of one core, ``require`` them, or ``isolate``: only hosts whose cores have one thread."""
    page_size: str | None = None
    """``small``, ``large``, ``any``, or a size in KiB; None: not asked."""
    share_emulator: bool = False
    """The emulator's own threads run on the shared CPUs."""


class GuestCell(BaseModel):
    """A cell of a guest, placed on a cell of its host."""

    model_config = ConfigDict(frozen=True)

    id: int
    """Of the host's cell; the guest's own cells are numbered in order."""
    vcpus: tuple[int, ...]
    cpus: tuple[tuple[int, ...], ...]
    """For each vCPU the host's CPUs that it may run on."""
    dedicated: bool = False
    memory_mb: int
    page_kib: int | None = None
    """Size of the huge pages its memory is made of; None: small pages."""
    emulator: tuple[int, ...] = ()
    """Where the emulator's threads run; empty: with the vCPUs."""


def fit(cells: Sequence[HostCell], used: Sequence[CellUse], wish: NumaWish) -> tuple[GuestCell, ...] | None:
    """Place every cell of a guest on a cell of the host of its own; None if that can't be done.

    Cells with the least dedicated CPUs left are tried first, so that large rooms stay whole.
    """
    uses = {use.id: use for use in used}
    ordered = sorted(cells, key=lambda cell: (len(_free(cell, uses.get(cell.id))), cell.id))
    rooms = [
        {cell.id: room for cell in ordered if (room := _place(cell, uses.get(cell.id), wish, asked)) is not None}
        for asked in wish.cells
    ]
    chosen = match(rooms)
    return None if chosen is None else tuple(room[id] for room, id in zip(rooms, chosen, strict=True))


def in_use(placed: Iterable[GuestCell]) -> tuple[CellUse, ...]:
    """What placed cells hold, by cell of the host."""
    found = []
    for id, group in groupby(sorted(placed, key=lambda cell: cell.id), key=lambda cell: cell.id):
        guests = list(group)
        pages: dict[int, int] = {}
        for guest in guests:
            if guest.page_kib is not None:
                pages[guest.page_kib] = pages.get(guest.page_kib, 0) + _pages(guest.memory_mb, guest.page_kib)
        cpus = {cpu for guest in guests if guest.dedicated for choice in guest.cpus for cpu in choice}
        found.append(
            CellUse(
                id=id,
                dedicated=tuple(sorted(cpus)),
                memory_mb=sum(guest.memory_mb for guest in guests if guest.page_kib is None),
                pages=tuple(sorted(pages.items())),
            )
        )
    return tuple(found)


def _place(cell: HostCell, use: CellUse | None, wish: NumaWish, asked: CellWish) -> GuestCell | None:
    size = _page_size(cell, use, wish, asked)
    if size is None:
        return None
    cpus = _cpus(cell, use, wish, len(asked.vcpus))
    if cpus is None:
        return None
    return GuestCell(
        id=cell.id,
        vcpus=asked.vcpus,
        cpus=cpus,
        dedicated=wish.dedicated,
        memory_mb=asked.memory_mb,
        page_kib=size or None,
        emulator=cell.shared if wish.share_emulator else (),
    )


def _page_size(cell: HostCell, use: CellUse | None, wish: NumaWish, asked: CellWish) -> int | None:
    """The size in KiB of huge pages that hold the memory asked for, 0 for small pages, None if there is no room."""
    taken = dict(use.pages) if use else {}
    huge = [
        size
        for size, count in sorted(cell.pages, reverse=True)
        if asked.memory_mb * _KIB_IN_MIB % size == 0 and _pages(asked.memory_mb, size) <= count - taken.get(size, 0)
    ]
    if wish.page_size not in (None, "small"):
        allowed = [size for size in huge if wish.page_size in ("large", "any", str(size))]
        if allowed:
            return allowed[0]
        if wish.page_size != "any":
            return None
    left = (
        cell.memory_mb - sum(size * count // _KIB_IN_MIB for size, count in cell.pages) - (use.memory_mb if use else 0)
    )
    return 0 if asked.memory_mb <= left else None


def _cpus(cell: HostCell, use: CellUse | None, wish: NumaWish, count: int) -> tuple[tuple[int, ...], ...] | None:
    if not wish.dedicated:
        return (cell.shared,) * count if count <= len(cell.shared) else None
    if wish.threads == "isolate" and cell.siblings:
        return None
    free = _free(cell, use)
    whole = [group for group in cell.siblings if free.issuperset(group)]
    together = [cpu for group in whole for cpu in group]
    if wish.threads == "require":
        width = len(whole[0]) if whole else 0
        if not width or count % width:
            return None
        chosen = together[:count]
    else:
        # Half-used cores first where an odd vCPU is left over, so that whole ones stay whole.
        single = sorted(free.difference(together))
        pairs = together[: count - count % 2] if cell.siblings else []
        chosen = (pairs + single + together[len(pairs) :])[:count]
    return tuple((cpu,) for cpu in chosen) if len(chosen) == count else None


def _free(cell: HostCell, use: CellUse | None) -> frozenset[int]:
    return frozenset(cell.dedicated).difference(use.dedicated if use else ())


def _pages(memory_mb: int, size_kib: int) -> int:
    return memory_mb * _KIB_IN_MIB // size_kib
