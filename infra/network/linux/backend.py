"""Networking of a Linux host: bridges, VXLAN, and one DHCP server a network, converged to the files of its ports."""

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from pyroute2.netlink.exceptions import NetlinkError

from infra.domain.errors import HostRejected
from infra.domain.host_network import HostNetwork
from infra.domain.host_router import HostRouter, RouterNic
from infra.domain.network import Nic
from infra.network import dhcp, names
from infra.network.backend import Plugged
from infra.network.linux import dnsmasq, files, inside, leases, leftovers, links, locks, netns
from infra.network.linux.packet_filter import PacketFilter
from infra.network.linux.routers import Routers
from infra.network.port_files import PluggedPort, PortFiles
from infra.settings import HostSettings

_log = logging.getLogger(__name__)


class LinuxNetworkBackend:
    """The networks of one host. What is to be stands in ``<directory>/ports``; every call converges to it.

    Args:
        host: prefix of all names, tunnel address and port. Hosts that share a machine need a prefix each.
        directory: where the port files and those of the DHCP servers live; belongs to this host alone.
    """

    def __init__(self, host: HostSettings, directory: Path) -> None:
        self._prefix = names.check_prefix(host.interface_prefix)
        self._host = host
        self._directory = directory.resolve()
        self._networks = self._directory / "networks"
        self._locks = self._directory / "locks"
        for made in (self._directory, self._networks, self._locks):
            made.mkdir(parents=True, exist_ok=True)
        self.ports = PortFiles(self._directory / "ports")
        self._owner = "kilonova-" + sha256(os.fsencode(self._directory)).hexdigest()[:12]
        self.on_change: Callable[[], None] = lambda: None
        """Called, in any thread, after a network came to this host or left it."""
        self._built: dict[str, tuple[links.Devices, list[str]]] = {}
        self.routers = Routers(self._prefix, self._owner, self._directory / "routers", self._locks)
        self._peers: dict[int, list[str]] = {}
        self._filter = PacketFilter(self._prefix)
        self._public: dict[str, str] = {}

    def plug(self, server_id: str, hostname: str, nic: Nic) -> Plugged:
        dhcp.check(nic)
        with self._errors("plug a port"):
            self.ports.write(PluggedPort(server_id=server_id, hostname=hostname, nic=nic))
            self._converge(nic.network_id)
        return Plugged(
            port_id=nic.port_id,
            bridge=names.bridge(self._prefix, nic.network_id),
            tap=names.tap(self._prefix, nic.port_id),
            mtu=nic.mtu,
        )

    def unplug(self, server_id: str, port_id: str) -> None:
        with self._errors("unplug a port"):
            port = self.ports.remove(port_id)
            if port is not None:
                # A guest that is still there is not in the network any more: nothing would filter it.
                links.let_go(names.tap(self._prefix, port_id))
                self._converge(port.nic.network_id)

    def plugged(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for port in self.ports.all():
            found.setdefault(port.server_id, []).append(port.nic.port_id)
        return found

    def namespaces(self) -> dict[str, str]:
        """Namespaces of the networks on this host by network id: where metadata has to be served."""
        return {port.nic.network_id: names.namespace(self._prefix, port.nic.network_id) for port in self.ports.all()}

    def server_at(self, network_id: str, address: str) -> str | None:
        """The server whose port in this network has this IP address, as written in its port file."""
        port = self.ports.at(network_id, address)
        return port.server_id if port is not None else None

    def public_at(self, network_id: str, address: str) -> str:
        """The floating IP of the port in this network that has this IP address; empty where it has none."""
        port = self.ports.at(network_id, address)
        return self._public.get(port.nic.port_id, "") if port is not None else ""

    def route(self, routers: Sequence[HostRouter]) -> None:
        with self._errors("route"):
            left = self.routers.keep(routers)
            self._converge_all(left | {nic.network_id for nic in self.routers.nics()})

    def heal(self) -> list[str]:
        wanted = {nic.network_id for nic in self._nics()}
        with self._errors("mend the networks"):
            links.let_bridged_frames_pass()
            self._filter.mend()
            return self._converge_all(wanted | {entry.name for entry in self._networks.iterdir()})

    def learn(self, part: HostNetwork) -> None:
        self._filter.known.add(part)

    def knows(self, port_id: str) -> bool:
        return self._filter.known.port(port_id) is not None

    def apply(self, whole: HostNetwork) -> None:
        self._public = whole.public
        plugged = self.ports.all()
        self._filter.known.replace(whole, keep={port.nic.port_id for port in plugged})
        failed: list[HostRejected] = []
        for network_id in sorted({port.nic.network_id for port in plugged}):
            try:
                self._enforce_now(network_id)
            except HostRejected as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def set_peers(self, vni: int, tunnel_ips: list[str]) -> None:
        self._peers[vni] = list(tunnel_ips)
        with self._errors("set the peers of a tunnel"), links.netlink() as ip:
            for network_id in {nic.network_id for nic in self._nics() if nic.vni == vni}:
                links.set_peers(ip, names.tunnel(self._prefix, network_id), tunnel_ips)

    def leftovers(self) -> list[str]:
        with self._errors("look for leftovers"):
            return leftovers.find(self._prefix, self._owner, self._networks, self.ports, self.routers.files).names()

    def remove_leftovers(self) -> list[str]:
        with self._errors("remove leftovers"), locks.held(self._locks / "all"):
            found = leftovers.find(self._prefix, self._owner, self._networks, self.ports, self.routers.files)
            leftovers.remove(found)
            self.ports.remove_drafts()
            self.routers.files.remove_drafts()
        return found.names()

    def _nics(self) -> list[Nic | RouterNic]:
        return [*(port.nic for port in self.ports.all()), *self.routers.nics()]

    def _converge_all(self, network_ids: Iterable[str]) -> list[str]:
        """These networks, then all routers; what is refused keeps nothing else from its place."""
        mended, refused = [], []
        for converge, ids in (
            (self._converge, network_ids),
            (self.routers.converge, [router.id for router in self.routers.files.all()]),
        ):
            for one in sorted(ids):
                try:
                    if converge(one):
                        mended.append(one)
                except HostRejected as error:
                    refused.append(error)
        if refused:
            raise refused[0]
        return mended

    def _converge(self, network_id: str) -> bool:
        """Make the network what its ports ask for; True when something had died or was not yet there."""
        with locks.held(self._locks / "all", shared=True), self._lock(network_id) as lock:
            ports = self.ports.of_network(network_id)
            if not ports and (nics := self.routers.nics(network_id)):
                return self._converge_bare(self._devices(nics[-1]))
            if not ports:
                self._tear_down(network_id)
                lock.unlink(missing_ok=True)
                self.on_change()
                return True
            devices = self._devices(ports[-1].nic)
            directory = self._networks / network_id
            directory.mkdir(exist_ok=True)
            user = dnsmasq.unprivileged_user(directory)
            arguments = dhcp.arguments(directory, dhcp.ranges(ports), mtu=devices.mtu, user=user)
            mended = not self._stands(devices, arguments)
            self._write(directory, ports, restart=mended)
            if mended:
                self._build(devices, ports, arguments)
                self.on_change()
            return self._enforce(network_id, ports) or mended

    def _enforce_now(self, network_id: str) -> None:
        with (
            self._errors("filter a network"),
            locks.held(self._locks / "all", shared=True),
            self._lock(network_id),
        ):
            self._enforce(network_id, self.ports.of_network(network_id))

    def _enforce(self, network_id: str, ports: Sequence[PluggedPort]) -> bool:
        return self._filter.enforce(network_id, [port.nic for port in ports])

    def _converge_bare(self, devices: links.Devices) -> bool:
        """A network that no guest here is in, with bridge and tunnel for a router."""
        if self._built.get(devices.network_id) == (devices, []) and links.index(devices.bridge) is not None:
            return False
        self._stop_serving(devices.network_id)
        (self._networks / devices.network_id).mkdir()
        with links.netlink() as ip:
            links.ensure(ip, devices, self._owner)
            if devices.vni in self._peers:
                links.set_peers(ip, devices.tunnel, self._peers[devices.vni])
        self._built[devices.network_id] = devices, []
        self.on_change()
        return True

    def _stands(self, devices: links.Devices, arguments: list[str]) -> bool:
        if self._built.get(devices.network_id) != (devices, arguments) or not links.present(devices):
            return False
        pid = dnsmasq.find(self._networks / devices.network_id)
        return pid is not None and dnsmasq.runs(pid, arguments, netns.inode(devices.namespace))

    def _build(self, devices: links.Devices, ports: Sequence[PluggedPort], arguments: list[str]) -> None:
        directory = self._networks / devices.network_id
        served = dhcp.ranges(ports)
        links.let_bridged_frames_pass()
        within = inside.has_device(devices.namespace)
        with links.netlink() as ip:
            links.ensure(ip, devices, self._owner)
            new = links.ensure_veth(ip, devices, self._owner, inside=within)
            links.take_in(ip, devices.bridge, [names.tap(self._prefix, port.nic.port_id) for port in ports])
            if devices.vni in self._peers:
                links.set_peers(ip, devices.tunnel, self._peers[devices.vni])

        def start() -> None:
            inside.configure(served, devices.mtu)
            if dnsmasq.find(directory) is None:
                dnsmasq.start(arguments)

        pid = dnsmasq.find(directory)
        # A server is bound to the device it found at its start, not to the next one of the same name.
        if pid is None or new or not dnsmasq.runs(pid, arguments, netns.inode(devices.namespace)):
            dnsmasq.stop(directory)
            leases.forget(directory)
        netns.run_in(devices.namespace, start)
        dnsmasq.reload(directory)
        self._built[devices.network_id] = (devices, arguments)

    def _write(self, directory: Path, ports: Sequence[PluggedPort], *, restart: bool) -> None:
        """Write what the DHCP server rereads and, unless it is started anew anyway, have it do so."""
        before = files.read(directory / "hosts")
        hosts = dhcp.hosts(ports)
        changed = files.replace(directory / "options", dhcp.options(ports))
        changed = files.replace(directory / "hosts", hosts) or changed
        if restart or not changed:
            return
        if leases.hinder(directory, set(hosts.splitlines()) - set(before.splitlines())):
            # The server gives no address away while it believes that its last user still has it.
            dnsmasq.stop(directory)
            leases.forget(directory)
            devices, arguments = self._built[directory.name]
            netns.run_in(devices.namespace, lambda: dnsmasq.start(arguments))
        else:
            dnsmasq.reload(directory)

    def _tear_down(self, network_id: str) -> None:
        # The folder goes last: while it is there, a later look ends what a kill left half done.
        with links.netlink() as ip:
            links.remove(ip, [kind(self._prefix, network_id) for kind in (names.tunnel, names.bridge)])
        self._stop_serving(network_id)

    def _stop_serving(self, network_id: str) -> None:
        """End DHCP and metadata."""
        self._built.pop(network_id, None)
        dnsmasq.stop(self._networks / network_id)
        netns.remove(names.namespace(self._prefix, network_id))
        with links.netlink() as ip:
            links.remove(ip, [names.veth(self._prefix, network_id)])
        self._filter.drop(network_id)
        shutil.rmtree(self._networks / network_id, ignore_errors=True)

    def _devices(self, newest: Nic | RouterNic) -> links.Devices:
        return links.Devices(
            prefix=self._prefix,
            network_id=newest.network_id,
            vni=newest.vni,
            mtu=newest.mtu,
            tunnel_ip=self._host.tunnel_ip,
            vxlan_port=self._host.vxlan_port,
            gateways=self.routers.gateways(newest.network_id),
        )

    @contextmanager
    def _lock(self, network_id: str) -> Iterator[Path]:
        path = self._locks / names.check_id(network_id)
        with locks.held(path):
            yield path

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, NetlinkError) as error:
            _log.exception("could not %s", what)
            why = f": {os.strerror(error.errno)}" if isinstance(error, OSError) and error.errno else ""
            raise HostRejected(f"This host could not {what}{why}.") from error
