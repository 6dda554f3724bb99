"""The ports of a host, and what is kept of each."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infra.domain.network import Nic
from infra.network.kept_files import KeptFiles


class PluggedPort(BaseModel):
    """What a host keeps of a port that is plugged there."""

    model_config = ConfigDict(frozen=True)

    server_id: str
    hostname: str
    nic: Nic


class PortFiles(KeptFiles[PluggedPort]):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory, PluggedPort, lambda port: port.nic.port_id)

    def of_network(self, network_id: str) -> list[PluggedPort]:
        return [port for port in self.all() if port.nic.network_id == network_id]

    def at(self, network_id: str, address: str) -> PluggedPort | None:
        """The port in this network that has this IP address."""
        for port in self.of_network(network_id):
            if any(item.ip_address == address for item in port.nic.addresses):
                return port
        return None
