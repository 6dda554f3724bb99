"""Which NUMA cells and CPUs of a host its servers hold: the part of a claim that needs the host's topology.

Called by ``claims.py`` with the host's row locked, so that no CPU is given to two servers.
"""

from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import bindparam, select, update
from sqlmodel import Session

from infra.db.statements import table_of
from infra.db.tables.hosts import ClaimRow, HostRow
from infra.domain.errors import ClaimLost
from infra.domain.numa import CellUse, GuestCell, HostCell, NumaWish, fit, in_use

_HOST = table_of(HostRow)
_CLAIM = table_of(ClaimRow)
_HOST_CELLS = TypeAdapter(tuple[HostCell, ...])
_USES = TypeAdapter(tuple[CellUse, ...])
_GUEST_CELLS = TypeAdapter(tuple[GuestCell, ...])
_TOPOLOGY = select(_HOST.c.report, _HOST.c.numa_used).where(_HOST.c.name == bindparam("a_host"))
_USED = select(_HOST.c.numa_used).where(_HOST.c.name == bindparam("a_host"))
_HELD = select(_CLAIM.c.numa).where(_CLAIM.c.host == bindparam("a_host"))


def place(session: Session, host: str, wish: NumaWish) -> tuple[GuestCell, ...]:
    """Cells of a host for a server that is about to be claimed there.

    Raises:
        ClaimLost: the host has no cells with that much left.
    """
    report, used = session.connection().execute(_TOPOLOGY, {"a_host": host}).one()
    placed = fit(_HOST_CELLS.validate_python(report.get("numa", ())), _USES.validate_python(used), wish)
    if placed is None:
        raise ClaimLost(f"Host {host} has no NUMA cells with that many CPUs and that much memory left.")
    return placed


def recount(session: Session, host: str) -> bool:
    """Write down what the claims that a host has now hold of its cells; True where something else stood there."""
    connection = session.connection()
    held = [
        cell
        for cells in connection.execute(_HELD, {"a_host": host}).scalars()
        for cell in _GUEST_CELLS.validate_python(cells)
    ]
    used: list[Any] = _USES.dump_python(in_use(held), mode="json")
    known = connection.execute(_USED, {"a_host": host}).scalar_one_or_none()
    if used == known:
        return False
    connection.execute(update(_HOST).where(_HOST.c.name == host).values(numa_used=used))
    return True
