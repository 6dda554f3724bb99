"""A router as the host that has it needs it: its devices, their addresses, and what it translates."""

from pydantic import BaseModel, ConfigDict

from infra.domain.network import HostRoute


class RouterNic(BaseModel):
    """A device of a router in a network."""

    model_config = ConfigDict(frozen=True)

    port_id: str
    network_id: str
    vni: int
    mtu: int
    mac_address: str
    addresses: tuple[str, ...] = ()
    """Each with the length of its subnet's prefix: ``10.0.0.1/24``."""


class Outside(BaseModel):
    """A router's device in its external network, and what is beyond."""

    model_config = ConfigDict(frozen=True)

    nic: RouterNic
    gateways: tuple[str, ...] = ()
    """Addresses of the external network's own gateways, as ``addresses``: they are this host's."""


class FloatingPair(BaseModel):
    model_config = ConfigDict(frozen=True)

    outside: str
    inside: str


class HostRouter(BaseModel):
    """IPv4 is routed; addresses of IPv6 are not given here."""

    model_config = ConfigDict(frozen=True)

    id: str
    inside: tuple[RouterNic, ...] = ()
    outside: Outside | None = None
    enable_snat: bool = True
    floating: tuple[FloatingPair, ...] = ()
    routes: tuple[HostRoute, ...] = ()

    @property
    def nics(self) -> tuple[RouterNic, ...]:
        return self.inside if self.outside is None else (*self.inside, self.outside.nic)
