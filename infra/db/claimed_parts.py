"""Which CPUs, NUMA cells and PCI devices of a host its servers hold: the part of a claim that needs to know the host.

Called by ``claims.py`` with the host's row locked, so that nothing is given to two servers.
"""

from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import bindparam, select, update
from sqlmodel import Session

from infra.db.statements import table_of
from infra.db.tables.hosts import ClaimRow, HostRow
from infra.domain.errors import ClaimLost
from infra.domain.fitting import Fitted, Parts, Wish, fit
from infra.domain.host import Claim
from infra.domain.numa import CellUse, HostCell, in_use
from infra.domain.pci import PciDevice

_HOST = table_of(HostRow)
_CLAIM = table_of(ClaimRow)
_HOST_CELLS = TypeAdapter(tuple[HostCell, ...])
_USES = TypeAdapter(tuple[CellUse, ...])
_DEVICES = TypeAdapter(tuple[PciDevice, ...])
_PARTS = select(_HOST.c.report, _HOST.c.numa_used, _HOST.c.pci_used).where(_HOST.c.name == bindparam("a_host"))
_HELD = select(_CLAIM).where(_CLAIM.c.host == bindparam("a_host"))


def place(session: Session, host: str, wish: Wish) -> Fitted:
    """Cells and devices of a host for a server that is about to be claimed there.

    Raises:
        ClaimLost: the host has not that much left.
    """
    report, cells_used, devices_used = session.connection().execute(_PARTS, {"a_host": host}).one()
    parts = Parts(
        _HOST_CELLS.validate_python(report.get("numa", ())),
        _USES.validate_python(cells_used),
        _DEVICES.validate_python(report.get("pci_devices", ())),
        _DEVICES.validate_python(devices_used),
    )
    found = fit(parts, wish)
    if found is None:
        raise ClaimLost(f"Host {host} has not the {_names(wish)} left that are asked for.")
    return found


def _names(wish: Wish) -> str:
    names = ["NUMA cells"] if wish.topology is not None else []
    return " and ".join([*names, "PCI devices"] if wish.devices else names)


def recount(session: Session, host: str) -> None:
    """Write down what the claims that a host has now hold of its parts."""
    connection = session.connection()
    held = [Claim.model_validate(dict(row)) for row in connection.execute(_HELD, {"a_host": host}).mappings()]
    connection.execute(update(_HOST).where(_HOST.c.name == host).values(**used(held)))


def used(held: list[Claim]) -> dict[str, Any]:
    """What claims on one host hold of its parts, as the host's columns."""
    cells = in_use(cell for claim in held for cell in claim.numa)
    devices = sorted((device for claim in held for device in claim.pci), key=lambda device: device.address)
    return {
        "numa_used": _USES.dump_python(cells, mode="json"),
        "pci_used": [device.model_dump(mode="json") for device in devices],
    }
