"""The door to a host's networking: bridges, tunnels, DHCP and metadata. Linux stands behind it, and a fake.

Calls are idempotent and block. A network exists on a host as long as it has ports there: ``plug`` makes what
is missing, ``unplug`` of the last port removes everything, bridge, tunnel, namespace and DHCP server.
"""

from typing import Protocol

from pydantic import BaseModel, ConfigDict

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

        Raises:
            HostRejected: this host could not do it.
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
