"""The packet filter of this host's networks, converged to what the Network Service says: a table for each network."""

from collections.abc import Sequence

from infra.domain.network import Nic
from infra.network import names
from infra.network.knowledge import Knowledge
from infra.network.linux import links, nft, ruleset

_ZONES = 2**16 - 1


class PacketFilter:
    """Whoever calls holds the network's lock.

    Args:
        prefix: of all names of this host.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.known = Knowledge()
        self._loaded: dict[str, tuple[int, str]] = {}
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
        rules = ruleset.render(fabric, nics, self.known.view())
        before = self._loaded.get(network_id)
        if before is None or before[0] != bridge:
            _track(bridge)
        if before != (bridge, rules):
            nft.load(rules)
            self._loaded[network_id] = bridge, rules
        return before is None

    def drop(self, network_id: str) -> None:
        """Remove the network's table; "not there" is success."""
        self._loaded.pop(network_id, None)
        nft.remove([names.namespace(self._prefix, network_id)])

    def notice_losses(self) -> None:
        """What somebody flushed is loaded anew by the next ``enforce``."""
        there = nft.tables()
        for network_id in list(self._loaded):
            if names.namespace(self._prefix, network_id) not in there:
                del self._loaded[network_id]


def _track(bridge: int) -> None:
    """Have the kernel know the connections over this bridge, and leave those of others alone."""
    nft.let_connections_be_tracked()
    links.let_bridged_frames_pass()
    with links.netlink() as ip:
        links.track(ip, bridge)
