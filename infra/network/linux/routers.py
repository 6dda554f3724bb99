"""A host's routers: a namespace each, with a pair of veths into the bridge of every network that it is in."""

from collections.abc import Iterable
from pathlib import Path

from pyroute2 import IPRoute

from infra.domain.errors import HostRejected
from infra.domain.host_router import HostRouter, RouterNic
from infra.network import names
from infra.network.kept_files import KeptFiles
from infra.network.linux import inside_router, links, locks, netns


class Routers:
    """Each is converged to its file, as networks are to those of their ports.

    Args:
        prefix: of all names.
        owner: whose devices they are.
        directory: of the files.
        lock_directory: where the locks are.
    """

    def __init__(self, prefix: str, owner: str, directory: Path, lock_directory: Path) -> None:
        self.files = KeptFiles(directory, HostRouter, lambda router: router.id)
        self._prefix = prefix
        self._owner = owner
        self._locks = lock_directory
        self._built: dict[str, tuple[HostRouter, int | None]] = {}

    def keep(self, routers: Iterable[HostRouter]) -> set[str]:
        """Have these files and no others, and take the other routers away; returns the networks that those were in."""
        gone = {router.id: router for router in self.files.all()}
        for router in routers:
            gone.pop(router.id, None)
            self.files.write(router)
        for router_id in gone:
            self.files.remove(router_id)
            self.converge(router_id)
        return {nic.network_id for router in gone.values() for nic in router.nics}

    def nics(self, network_id: str | None = None) -> list[RouterNic]:
        """Of all networks, or of one."""
        found = [nic for router in self.files.all() for nic in router.nics]
        return [nic for nic in found if network_id in (None, nic.network_id)]

    def gateways(self, network_id: str) -> tuple[str, ...]:
        """This host's own addresses in an external network; none in others."""
        outside = [router.outside for router in self.files.all()]
        found = {one for it in outside if it and it.nic.network_id == network_id for one in it.gateways}
        return tuple(sorted(found))

    def converge(self, router_id: str) -> bool:
        """Make a router what its file says; True when something was not so.

        Raises:
            HostRejected: its networks are not here, or a part of it was refused.
        """
        with locks.held(self._locks / "all", shared=True), locks.held(self._locks / f"router-{router_id}"):
            router = self.files.get(router_id)
            if router is None:
                self._remove(router_id)
                (self._locks / f"router-{router_id}").unlink(missing_ok=True)
            elif self._stands(router):
                return False
            else:
                self._build(router)
            return True

    def _stands(self, router: HostRouter) -> bool:
        """The quick look; ``_build`` is the thorough one."""
        namespace = names.router_namespace(self._prefix, router.id)
        if self._built.get(router.id) != (router, netns.inode(namespace)):
            return False
        with links.netlink() as ip:
            return all(self._is_plugged(ip, nic) for nic in router.nics)

    def _build(self, router: HostRouter) -> None:
        namespace = names.router_namespace(self._prefix, router.id)
        within = netns.run_in(namespace, inside_router.devices)
        with links.netlink() as ip:
            links.remove(ip, self._veths(ip, router.id) - {self._veth(nic) for nic in router.nics})
            for nic in router.nics:
                self._plug(ip, nic, router.id, inside=names.router_device(nic.port_id) in within)
        netns.run_in(namespace, lambda: inside_router.configure(router))
        self._built[router.id] = router, netns.inode(namespace)

    def _remove(self, router_id: str) -> None:
        self._built.pop(router_id, None)
        with links.netlink() as ip:
            links.remove(ip, self._veths(ip, router_id))
        netns.remove(names.router_namespace(self._prefix, router_id))

    def _veth(self, nic: RouterNic) -> str:
        return names.router_veth(self._prefix, nic.port_id)

    def _veths(self, ip: IPRoute, router_id: str) -> set[str]:
        wanted = links.alias(self._owner, router_id)
        return {name for name, alias in links.all_names(ip).items() if alias == wanted}

    def _is_plugged(self, ip: IPRoute, nic: RouterNic) -> bool:
        here = links.index(self._veth(nic))
        bridge = links.index(names.bridge(self._prefix, nic.network_id))
        if here is None or bridge is None:
            return False
        return bool(ip.link("get", index=here)[0].get_attr("IFLA_MASTER") == bridge)

    def _plug(self, ip: IPRoute, nic: RouterNic, router_id: str, *, inside: bool) -> None:
        """Not isolated in its bridge: a router answers guests of other hosts, too."""
        name, bridge = self._veth(nic), links.index(names.bridge(self._prefix, nic.network_id))
        if bridge is None:
            raise HostRejected(f"The network {nic.network_id} is not on this host.")
        if not inside:
            links.remove(ip, [name])
        if links.index(name) is None:
            peer = {
                "ifname": names.router_device(nic.port_id),
                "net_ns_fd": names.router_namespace(self._prefix, router_id),
                "address": nic.mac_address,
                "mtu": nic.mtu,
            }
            ip.link("add", ifname=name, kind="veth", peer=peer, mtu=nic.mtu)
        links.no_host_address(name)
        text = links.alias(self._owner, router_id)
        ip.link("set", index=links.index(name), master=bridge, mtu=nic.mtu, ifalias=text, state="up")
