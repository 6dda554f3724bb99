"""The door to a host's networking: bridges, tunnels, DHCP and metadata. Linux stands behind it, and a fake.

Calls are idempotent and block. A network exists on a host as long as it has ports there: ``plug`` makes what
is missing, ``unplug`` of the last port removes everything, bridge, tunnel, namespace and DHCP server.
"""

from collections.abc import Sequence
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from infra.domain.host_network import HostNetwork
from infra.domain.host_router import HostRouter
from infra.domain.network import Nic


class Plugged(BaseModel):
    """Where a port's interface goes on this host."""

    model_config = ConfigDict(frozen=True)

    port_id: str
    bridge: str
    tap: str
    mtu: int


class NetworkBackend(Protocol):
    def plug(self, server_id: str, hostname: str, nic: Nic) -> Plugged:
        """Make the network exist here and let DHCP answer for this port.

        Plugging again with another description changes what the port gets.

        Raises:
            HostRejected: this host could not do it.
            BuildAborted: the description is malformed, so that no host could; nothing was done.
        """
        ...

    def unplug(self, server_id: str, port_id: str) -> None:
        """Forget the port; "not there" is success."""
        ...

    def plugged(self) -> dict[str, list[str]]:
        """Ports on this host by server id."""
        ...

    def leftovers(self) -> list[str]:
        """Names of bridges, namespaces, taps and processes of ours that no plugged port accounts for."""
        ...

    def remove_leftovers(self) -> list[str]:
        """Remove what ``leftovers`` names and return those names."""
        ...

    def heal(self) -> list[str]:
        """Mend what died or was taken away since it was plugged; ids of the networks that needed it."""
        ...

    def route(self, routers: Sequence[HostRouter]) -> None:
        """Make exactly these the routers of this host.

        Raises:
            HostRejected: this host could not have one of them; the others it has.
        """
        ...

    def learn(self, part: HostNetwork) -> None:
        """Know what the Network Service says of ports that are about to be plugged; changes nothing by itself."""
        ...

    def knows(self, port_id: str) -> bool:
        """Whether anything was learnt of the port. One that is plugged unknown is shut but for DHCP and metadata."""
        ...

    def apply(self, whole: HostNetwork) -> None:
        """Enforce what the Network Service says of all ports of this host, on those that are plugged.

        Raises:
            HostRejected: this host could not do it; the same may be tried again.
        """
        ...

    def set_peers(self, vni: int, tunnel_ips: list[str]) -> None:
        """Make exactly these the other hosts that have guests in the network of this VXLAN identifier."""
        ...
