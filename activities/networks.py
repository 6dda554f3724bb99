"""Step 9: the port at the Network Service, and its place on the host. One activity a port."""

from typing import Any

from activities.base import step
from activities.models import Attempt, PortRef
from infra.compute.attempts import Attempts
from infra.compute.upkeep import Upkeep
from infra.domain.errors import NotFound
from infra.domain.host_network import HostNetwork
from infra.domain.keys import port_key
from infra.domain.network import Nic
from infra.network.backend import NetworkBackend
from infra.rest.client import RestClient
from infra.temporal.history import History
from infra.temporal.sealed import Sealed, Sealer


class AllocatePort(History):
    attempt: Attempt
    token: Sealed
    token_server_id: str
    port: PortRef
    security_groups: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return port_key(self.attempt.server_id, self.attempt.number, self.port.port_id)


class AllocatedPort(History):
    port_id: str
    nic: dict[str, Any]
    """The Network Service's own description of the interface (``infra.domain.network.Nic``)."""


class PlugPort(History):
    attempt: Attempt
    hostname: str
    port_id: str
    nic: dict[str, Any]


class PlugResult(History):
    port_id: str
    bridge: str
    tap: str
    nic: dict[str, Any] = {}


class PortActivities:
    """REST calls: they run on the host's queues, or on the control queue for a host that is gone.

    Args:
        network: of the host, which learns who may reach the port: that is no matter of the run's history.
    """

    def __init__(self, rest: RestClient, sealer: Sealer, network: NetworkBackend | None = None) -> None:
        self._rest = rest
        self._sealer = sealer
        self._network = network

    @step("networks.deallocate", because="it is an undo")
    async def deallocate(self, params: AllocatePort) -> None:
        """Delete the port, or let go of the user's own; the attempt's key is buried: a late request finds it closed."""
        path = f"/network/v2.0/ports/{params.port.port_id}"
        try:
            if params.port.created:
                await self._rest.request("DELETE", path, key=params.key)
            else:
                body = {"port": {"device_id": "", "device_owner": "", "binding:host_id": ""}}
                await self._rest.request("PUT", path, key=params.key, json=body)
        except NotFound:
            return

    @step("networks.allocate", undo=deallocate)
    async def allocate(self, params: AllocatePort) -> AllocatedPort:
        """Make the port, or take the user's own, bound to this host and server."""
        token = self._sealer.open(params.token, server_id=params.token_server_id, field="token")
        port = params.port
        body: dict[str, Any] = {
            "device_id": params.attempt.server_id,
            "device_owner": "compute:nova",
            "binding:host_id": params.attempt.host,
        }
        if port.created:
            body |= {"id": port.port_id, "network_id": port.network_id}
            if port.fixed_ip:
                body["fixed_ips"] = [{"ip_address": port.fixed_ip}]
            if params.security_groups:
                body["security_groups"] = list(params.security_groups)
            method, path = "POST", "/network/v2.0/ports"
        else:
            method, path = "PUT", f"/network/v2.0/ports/{port.port_id}"
        answer = await self._rest.request(method, path, token=token, key=params.key, json={"port": body})
        if self._network is not None:
            self._network.learn(HostNetwork.model_validate(answer["port"]["host_network"]))
        return AllocatedPort(port_id=port.port_id, nic=answer["port"]["nic"])


class PlugActivities:
    """Bridges, DHCP and metadata on this host."""

    def __init__(self, backend: NetworkBackend, attempts: Attempts, upkeep: Upkeep) -> None:
        self._backend = backend
        self._attempts = attempts
        self._upkeep = upkeep

    @step("networks.unplug", because="it is an undo")
    def unplug(self, params: PlugPort) -> None:
        """But for a port that the attempt which stays on this host has too."""
        attempt = params.attempt
        with self._attempts.undoing(attempt.server_id, attempt.number, attempt.kept):
            if not attempt.keeps:
                self._backend.unplug(attempt.server_id, params.port_id)

    @step("networks.plug", undo=unplug)
    def plug(self, params: PlugPort) -> PlugResult:
        server_id, number = params.attempt.server_id, params.attempt.number
        self._upkeep.know_port(params.port_id)
        with self._attempts.doing(server_id, number):
            plugged = self._backend.plug(server_id, params.hostname, Nic.model_validate(params.nic))
            if self._attempts.is_closed(server_id, number):
                if not params.attempt.keeps:
                    self._backend.unplug(server_id, params.port_id)
                self._attempts.check(server_id, number)
        return PlugResult(port_id=params.port_id, bridge=plugged.bridge, tap=plugged.tap, nic=params.nic)
