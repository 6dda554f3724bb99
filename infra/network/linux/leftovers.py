"""Finding and removing what no plugged port of this host accounts for."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infra.network import names
from infra.network.linux import dnsmasq, links, netns, nft
from infra.network.port_files import PortFiles

_OWNER = re.compile(r"kilonova-[0-9a-f]{12}/", re.ASCII)


class Leftovers(BaseModel):
    model_config = ConfigDict(frozen=True)

    devices: tuple[str, ...]
    namespaces: tuple[str, ...]
    processes: tuple[tuple[int, Path], ...]
    tables: tuple[str, ...] = ()
    """Of the packet filter."""

    def names(self) -> list[str]:
        servers = (f"dnsmasq {directory.name}" for _, directory in self.processes)
        return [*self.devices, *self.namespaces, *servers, *(f"table {name}" for name in self.tables)]


def find(prefix: str, owner: str, networks: Path, ports: PortFiles) -> Leftovers:
    """What carries this host's prefix, or serves a folder of its ``networks``, and belongs to no port.

    What is there is read before what is to be: a port that is plugged meanwhile is written down before
    anything is made for it, and so is never taken for a leftover.
    """
    with links.netlink() as ip:
        there = links.all_names(ip)
    namespaces, tables = netns.names(), sorted(nft.tables())
    processes = [(pid, directory) for pid, directory in dnsmasq.scan() if directory.parent == networks]

    plugged = ports.all()
    network_ids = {port.nic.network_id for port in plugged}
    wanted = {names.tap(prefix, port.nic.port_id) for port in plugged}
    for network_id in network_ids:
        wanted |= {kind(prefix, network_id) for kind in (names.bridge, names.tunnel, names.veth)}
    ours = re.compile(rf"{prefix}[bxvt][0-9a-z]{{8,}}", re.ASCII)
    foreign = {name for name, alias in there.items() if _OWNER.match(alias) and not alias.startswith(f"{owner}/")}

    def stray(named: Sequence[str]) -> tuple[str, ...]:
        """Namespaces, or tables, that are named after a network of ours which has no port here."""
        return tuple(
            name
            for name in named
            if (owner_id := _network_of(name, prefix))
            and owner_id not in network_ids
            and names.bridge(prefix, owner_id) not in foreign
        )

    return Leftovers(
        devices=tuple(sorted(name for name in there if ours.fullmatch(name) and name not in wanted | foreign)),
        namespaces=stray(namespaces),
        processes=tuple((pid, directory) for pid, directory in processes if directory.name not in network_ids),
        tables=stray(tables),
    )


def remove(found: Leftovers) -> None:
    for pid, directory in found.processes:
        dnsmasq.stop(directory, pid)
        shutil.rmtree(directory, ignore_errors=True)
    for name in found.namespaces:
        netns.remove(name)
    with links.netlink() as ip:
        links.remove(ip, found.devices)
    # Last: what is filtered is gone by then.
    nft.remove(found.tables)


def _network_of(named: str, prefix: str) -> str | None:
    if not named.startswith(f"{prefix}-"):
        return None
    try:
        return names.check_id(named.removeprefix(f"{prefix}-"))
    except ValueError:
        return None
