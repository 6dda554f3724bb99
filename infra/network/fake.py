"""A host's networking without a host: the same contract in memory, or in a directory that outlives the process."""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import RLock

from infra.domain.host_network import HostNetwork
from infra.domain.host_router import HostRouter
from infra.domain.network import Nic
from infra.network import dhcp, names
from infra.network.backend import Plugged
from infra.network.knowledge import Knowledge
from infra.network.port_files import PluggedPort, PortFiles


class FakeNetworkBackend:
    """What ``NetworkBackend`` promises, with faults where a test wants them.

    Args:
        directory: where ports are kept; in memory only by default.
        prefix: first letters of all names.
    """

    def __init__(self, directory: Path | None = None, *, prefix: str = "kn") -> None:
        self._prefix = names.check_prefix(prefix)
        self._lock = RLock()
        self._files = PortFiles(directory / "ports") if directory is not None else None
        self._ports = {port.nic.port_id: port for port in (self._files.all() if self._files is not None else [])}
        self.devices = self._wanted()
        """Bridges and namespaces that exist; a test may add what nobody asked for, or take some away."""
        self.peers: dict[int, list[str]] = {}
        self.routers: tuple[HostRouter, ...] = ()
        self.known = Knowledge()
        self.fault: Callable[[str], None] = lambda effect: None
        """Called before and after each effect with ``"plug:before"``, ``"plug:after"``, ``"unplug:before"`` and so
        on; raises where the host is to fail, or its reply to be lost."""

    def plug(self, server_id: str, hostname: str, nic: Nic) -> Plugged:
        dhcp.check(nic)
        self.fault("plug:before")
        port = PluggedPort(server_id=server_id, hostname=hostname, nic=nic)
        with self._lock:
            if self._files is not None:
                self._files.write(port)
            self._ports[nic.port_id] = port
            self.devices |= self._wanted()
        self.fault("plug:after")
        return Plugged(
            port_id=nic.port_id,
            bridge=names.bridge(self._prefix, nic.network_id),
            tap=names.tap(self._prefix, nic.port_id),
            mtu=nic.mtu,
        )

    def unplug(self, server_id: str, port_id: str) -> None:
        self.fault("unplug:before")
        with self._lock:
            before = self._wanted()
            if self._files is not None:
                self._files.remove(port_id)
            self._ports.pop(port_id, None)
            self.devices -= before - self._wanted()
        self.fault("unplug:after")

    def plugged(self) -> dict[str, list[str]]:
        self.fault("plugged:before")
        found: dict[str, list[str]] = {}
        with self._lock:
            for port in self._ports.values():
                found.setdefault(port.server_id, []).append(port.nic.port_id)
        return found

    def leftovers(self) -> list[str]:
        with self._lock:
            return sorted(self.devices - self._wanted())

    def remove_leftovers(self) -> list[str]:
        with self._lock:
            found = self.leftovers()
            self.devices -= set(found)
        return found

    def heal(self) -> list[str]:
        self.fault("heal:before")
        with self._lock:
            networks = sorted({port.nic.network_id for port in self._ports.values()})
            mended = [network_id for network_id in networks if not self._made(network_id) <= self.devices]
            self.devices |= self._wanted()
        return mended

    def learn(self, part: HostNetwork) -> None:
        self.known.add(part)

    def knows(self, port_id: str) -> bool:
        return self.known.port(port_id) is not None

    def apply(self, whole: HostNetwork) -> None:
        self.fault("apply:before")
        with self._lock:
            self.known.replace(whole, keep=set(self._ports))
        self.fault("apply:after")

    def set_peers(self, vni: int, tunnel_ips: list[str]) -> None:
        self.fault("set_peers:before")
        with self._lock:
            self.peers[vni] = list(tunnel_ips)

    def route(self, routers: Sequence[HostRouter]) -> None:
        self.fault("route:before")
        with self._lock:
            self.routers = tuple(routers)
        self.fault("route:after")

    def _wanted(self) -> set[str]:
        return {device for port in self._ports.values() for device in self._made(port.nic.network_id)}

    def _made(self, network_id: str) -> set[str]:
        return {names.bridge(self._prefix, network_id), names.namespace(self._prefix, network_id)}
