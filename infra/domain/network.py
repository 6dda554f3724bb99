"""Networks, subnets, ports and security groups as the Network Service (Neutron v2.0) describes them."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Network(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    project_id: str
    name: str = ""
    description: str = ""
    admin_state_up: bool = True
    shared: bool = False
    external: bool = False
    port_security_enabled: bool = True
    mtu: int = 1450
    vni: int
    """VXLAN network identifier; unique among networks that exist."""
    availability_zone_hints: tuple[str, ...] = ()
    subnet_ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime
    revision: int = 0


class AllocationPool(BaseModel):
    model_config = ConfigDict(frozen=True)

    start: str
    end: str


class HostRoute(BaseModel):
    model_config = ConfigDict(frozen=True)

    destination: str
    nexthop: str


class Subnet(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    project_id: str
    network_id: str
    name: str = ""
    description: str = ""
    ip_version: int = 4
    cidr: str
    gateway_ip: str | None
    enable_dhcp: bool = True
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[HostRoute, ...] = ()
    allocation_pools: tuple[AllocationPool, ...] = ()
    tags: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime
    revision: int = 0


class FixedIp(BaseModel):
    model_config = ConfigDict(frozen=True)

    subnet_id: str
    ip_address: str


class Port(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    project_id: str
    network_id: str
    name: str = ""
    description: str = ""
    mac_address: str
    fixed_ips: tuple[FixedIp, ...] = ()
    admin_state_up: bool = True
    status: str = "DOWN"
    device_id: str = ""
    device_owner: str = ""
    host: str = ""
    """``binding:host_id``."""
    binding_profile: dict[str, Any] = Field(default_factory=dict)
    vnic_type: str = "normal"
    security_group_ids: tuple[str, ...] = ()
    port_security_enabled: bool = True
    allowed_address_pairs: tuple[dict[str, str], ...] = ()
    extra_dhcp_opts: tuple[dict[str, Any], ...] = ()
    tags: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime
    revision: int = 0


class AddressWish(BaseModel):
    """An element of a request's ``fixed_ips``: a subnet, an address, or both."""

    model_config = ConfigDict(frozen=True)

    subnet_id: str | None = None
    ip_address: str | None = None


class NewPort(BaseModel):
    """A port as it is asked for: what is None is chosen by the service."""

    model_config = ConfigDict(frozen=True)

    id: str
    project_id: str
    network_id: str
    name: str = ""
    description: str = ""
    mac_address: str | None = None
    fixed_ips: tuple[AddressWish, ...] | None = None
    """None: one address of each IP version the network has; empty: none."""
    admin_state_up: bool = True
    status: str = "DOWN"
    device_id: str = ""
    device_owner: str = ""
    host: str = ""
    binding_profile: dict[str, Any] = Field(default_factory=dict)
    vnic_type: str = "normal"
    security_group_ids: tuple[str, ...] | None = None
    """None: the project's ``default`` group, where port security is on."""
    port_security_enabled: bool | None = None
    """None: as the network says."""
    allowed_address_pairs: tuple[dict[str, str], ...] = ()
    extra_dhcp_opts: tuple[dict[str, Any], ...] = ()


class NetworkQuota(BaseModel):
    """How many of each a project may have; -1 is no limit. Names as in ``/v2.0/quotas``."""

    model_config = ConfigDict(frozen=True)

    network: int = 100
    subnet: int = 100
    port: int = 500
    security_group: int = 100
    security_group_rule: int = 1000
    router: int = 10
    floatingip: int = 50


class SecurityGroupRule(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    project_id: str
    security_group_id: str
    direction: str
    ethertype: str = "IPv4"
    protocol: str | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    description: str = ""
    created_at: datetime
    updated_at: datetime
    revision: int = 0


class SecurityGroup(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    project_id: str
    name: str
    description: str = ""
    stateful: bool = True
    rules: tuple[SecurityGroupRule, ...] = ()
    tags: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime
    revision: int = 0


class Nic(BaseModel):
    """One network interface of a guest, as a host needs it to plug, serve and describe it.

    Travels from ``networks.allocate`` to ``networks.plug`` and ``hypervisor.spawn`` by way of the host.
    """

    model_config = ConfigDict(frozen=True)

    port_id: str
    network_id: str
    vni: int
    mtu: int
    mac_address: str
    addresses: tuple["NicAddress", ...] = ()


class NicAddress(BaseModel):
    model_config = ConfigDict(frozen=True)

    ip_address: str
    cidr: str
    """The subnet's."""
    gateway_ip: str | None
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[HostRoute, ...] = ()
    enable_dhcp: bool = True
    dhcp_ip: str | None = None
    """Address of the subnet's DHCP port, on which every host answers its own guests."""
