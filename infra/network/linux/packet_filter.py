"""The packet filter of this host's networks, converged to what the Network Service says: a table for each network."""

from collections.abc import Sequence

from infra.domain.errors import HostRejected
from infra.domain.network import Nic
from infra.network import names
from infra.network.knowledge import Knowledge
from infra.network.linux import links, nft, passage, ruleset
from infra.network.linux.table import Table

_ZONES = 2**16 - 1


class PacketFilter:
    """Whoever calls holds the network's lock.

    Args:
        prefix: of all names of this host.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.known = Knowledge()
        self._loaded: dict[str, tuple[int, Table]] = {}
        """By network, the bridge that it was loaded for, and what."""

    def enforce(self, network_id: str, nics: Sequence[Nic]) -> bool:
        """Make the network's table what its ports here ask for; True when there was none by this process.

        Where the network's bridge is not there, nothing passes, and nothing is done.

        Raises:
            HostRejected: the kernel refuses it.
        """
        bridge = links.index(names.bridge(self._prefix, network_id))
        if bridge is None:
            return False
        fabric = ruleset.Fabric(prefix=self._prefix, network_id=network_id, zone=bridge % _ZONES + 1)
        table = ruleset.render(fabric, nics, self.known.view())
        before = self._loaded.pop(network_id, None)
        if before is None or before[0] != bridge:
            self._track(bridge)
        # What failed is not known to be there: the next one replaces all.
        self._load(table, before[1] if before is not None else None)
        self._loaded[network_id] = bridge, table
        return before is None

    def _load(self, table: Table, before: Table | None) -> None:
        if before is not None:
            rules = table.since(before)
            try:
                nft.load(rules)
                return
            except HostRejected:
                # Somebody changed what is there.
                pass
        nft.load(table.whole())

    def drop(self, network_id: str) -> None:
        """Remove the network's table; "not there" is success."""
        self._loaded.pop(network_id, None)
        nft.remove([names.namespace(self._prefix, network_id)])
        if not self._loaded:
            passage.close(self._prefix)

    def mend(self) -> None:
        """What others' filters would drop passes; what somebody flushed is loaded anew by the next ``enforce``."""
        if self._loaded:
            passage.keep_open(self._prefix)
        there = nft.tables()
        for network_id in list(self._loaded):
            if names.namespace(self._prefix, network_id) not in there:
                del self._loaded[network_id]

    def _track(self, bridge: int) -> None:
        """Have the kernel know the connections over this bridge, and leave those of others alone."""
        nft.let_connections_be_tracked()
        links.let_bridged_frames_pass()
        passage.keep_open(self._prefix)
        with links.netlink() as ip:
            links.track(ip, bridge)
