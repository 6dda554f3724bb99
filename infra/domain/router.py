"""Routers and floating IPs as the Network Service (Neutron's ``router`` and ``extraroute``) describes them."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from infra.domain.network import AddressWish, FixedIp, HostRoute

INTERFACE_OWNER = "network:router_interface"
GATEWAY_OWNER = "network:router_gateway"
FLOATING_OWNER = "network:floatingip"
"""``device_owner`` of the ports that routers and floating IPs have."""


class Gateway(BaseModel):
    """``external_gateway_info``: how a router reaches an external network."""

    model_config = ConfigDict(frozen=True)

    network_id: str
    enable_snat: bool = True
    """Whether what has no floating IP goes out under the gateway's address."""
    external_fixed_ips: tuple[FixedIp, ...] = ()


class GatewayWish(BaseModel):
    """A gateway as it is asked for: what is None stays as it is, or is chosen by the service."""

    model_config = ConfigDict(frozen=True)

    network_id: str
    enable_snat: bool | None = None
    external_fixed_ips: tuple[AddressWish, ...] | None = None


class Router(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    project_id: str
    name: str = ""
    description: str = ""
    admin_state_up: bool = True
    gateway: Gateway | None = None
    routes: tuple[HostRoute, ...] = ()
    tags: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime
    revision: int = 0


class RouterInterface(BaseModel):
    """What ``add_router_interface`` and ``remove_router_interface`` answer with."""

    model_config = ConfigDict(frozen=True)

    router_id: str
    project_id: str
    port_id: str
    network_id: str
    subnet_ids: tuple[str, ...]


class FloatingIp(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    project_id: str
    description: str = ""
    floating_network_id: str
    floating_ip_address: str
    port_id: str | None = None
    """Whose fixed address it leads to; None: nobody's."""
    fixed_ip_address: str | None = None
    router_id: str | None = None
    status: str = "DOWN"
    """``ACTIVE`` where it leads somewhere."""
    tags: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime
    revision: int = 0
