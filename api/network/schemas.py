"""Request bodies of the Networking API v2.0. Field names are the domain's, aliases are the wire's.

What a body leaves out is not the same as null: ``given()`` holds what was sent. Unknown and read-only attributes
are refused.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from api.network.types import Bool, Id, Int, IpAddress, IpOrCidr, Mac, Profile, Text
from infra.domain.network import AddressWish, AllocationPool, HostRoute

ZONE = "nova"


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def given(self) -> dict[str, Any]:
        """Attributes that the request holds, by the domain's names."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Owned(Body):
    """``tenant_id`` is the older name of ``project_id``."""

    project_id: Id | None = None
    tenant_id: Id | None = None

    def given(self) -> dict[str, Any]:
        return {k: v for k, v in super().given().items() if k not in ("project_id", "tenant_id")}


class Named(Body):
    name: Text = ""
    description: Text = ""


class NetworkUpdate(Named):
    admin_state_up: Bool = True
    shared: Bool = False
    external: Bool = Field(False, alias="router:external")
    port_security_enabled: Bool = True
    mtu: Int = 0


class NetworkCreate(NetworkUpdate, Owned):
    vni: Int | None = Field(None, alias="provider:segmentation_id", ge=1, le=2**24 - 1)
    network_type: Text | None = Field(None, alias="provider:network_type")
    physical_network: Text | None = Field(None, alias="provider:physical_network")
    availability_zone_hints: tuple[Text, ...] = Field((), max_length=10)


def _none_is_empty(value: Any) -> Any:
    return () if value is None else value


NameServers = Annotated[tuple[IpAddress, ...], BeforeValidator(_none_is_empty), Field(max_length=5)]


class Pool(Body):
    start: IpAddress
    end: IpAddress


class Route(Body):
    destination: IpOrCidr
    nexthop: IpAddress

    @model_validator(mode="after")
    def _one_version(self) -> "Route":
        if (":" in self.destination) != (":" in self.nexthop):
            raise ValueError("destination and nexthop are of different IP versions")
        return self


class SubnetUpdate(Named):
    gateway_ip: IpAddress | None = None
    enable_dhcp: Bool = True
    dns_nameservers: NameServers = ()
    host_routes: Annotated[tuple[Route, ...], BeforeValidator(_none_is_empty), Field(max_length=20)] = ()
    allocation_pools: Annotated[tuple[Pool, ...], Field(max_length=50)] = ()

    @field_validator("dns_nameservers", "host_routes")
    @classmethod
    def _no_duplicates(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(map(str, value))) < len(value):
            raise ValueError("it contains duplicate entries")
        return value

    def given(self) -> dict[str, Any]:
        values = super().given()
        if "host_routes" in values:
            values["host_routes"] = tuple(HostRoute(**route.model_dump()) for route in self.host_routes)
        if "allocation_pools" in values:
            values["allocation_pools"] = tuple(AllocationPool(**pool.model_dump()) for pool in self.allocation_pools)
        return values


class SubnetCreate(SubnetUpdate, Owned):
    network_id: Id
    ip_version: Int
    cidr: Text
    ipv6_address_mode: None = None
    ipv6_ra_mode: None = None
    subnetpool_id: None = None

    @field_validator("ip_version")
    @classmethod
    def _known(cls, value: int) -> int:
        if value not in (4, 6):
            raise ValueError("it is not in valid_values: 4, 6")
        return value


class Wish(Body):
    subnet_id: Id | None = None
    ip_address: IpAddress | None = None

    @model_validator(mode="after")
    def _something(self) -> "Wish":
        if self.subnet_id is None and self.ip_address is None:
            raise ValueError("IP allocation requires subnet_id or ip_address")
        return self


class AddressPair(Body):
    ip_address: IpOrCidr
    mac_address: Mac | None = None


class DhcpOption(Body):
    """Names and values reach a DHCP server's configuration, so that they are narrow."""

    opt_name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9:_-]{0,63}$")
    opt_value: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[ -~]+$")] | None = None
    ip_version: Int = 4

    @field_validator("ip_version")
    @classmethod
    def _known(cls, value: int) -> int:
        if value not in (4, 6):
            raise ValueError("it is not in valid_values: 4, 6")
        return value


class PortUpdate(Named):
    admin_state_up: Bool = True
    device_id: Text = ""
    device_owner: Text = ""
    mac_address: Mac = ""
    fixed_ips: Annotated[tuple[Wish, ...], BeforeValidator(_none_is_empty), Field(max_length=100)] = ()
    security_group_ids: Annotated[tuple[Id, ...], BeforeValidator(_none_is_empty)] = Field(
        (), alias="security_groups", max_length=100
    )
    port_security_enabled: Bool = True
    allowed_address_pairs: Annotated[
        tuple[AddressPair, ...], BeforeValidator(_none_is_empty), Field(max_length=10)
    ] = ()
    extra_dhcp_opts: Annotated[tuple[DhcpOption, ...], BeforeValidator(_none_is_empty), Field(max_length=50)] = ()
    host: Annotated[Text, BeforeValidator(lambda v: "" if v is None else v)] = Field("", alias="binding:host_id")
    binding_profile: Profile = Field(alias="binding:profile", default_factory=dict)
    vnic_type: Literal["normal"] = Field("normal", alias="binding:vnic_type")
    status: Literal["ACTIVE", "DOWN", "BUILD", "ERROR"] = "DOWN"

    @field_validator("fixed_ips", "allowed_address_pairs")
    @classmethod
    def _no_duplicates(cls, value: tuple[Body, ...]) -> tuple[Body, ...]:
        exact = [str(item) for item in value if getattr(item, "ip_address", None) is not None]
        if len(set(exact)) < len(exact):
            raise ValueError("it contains duplicate entries")
        return value

    def given(self) -> dict[str, Any]:
        values = super().given()
        if "fixed_ips" in values:
            values["fixed_ips"] = tuple(AddressWish(**wish.model_dump()) for wish in self.fixed_ips)
        if "security_group_ids" in values:
            values["security_group_ids"] = tuple(sorted(set(self.security_group_ids)))
        if "allowed_address_pairs" in values:
            pairs = tuple(pair.model_dump(exclude_none=True) for pair in self.allowed_address_pairs)
            values["allowed_address_pairs"] = pairs
        if "extra_dhcp_opts" in values:
            values["extra_dhcp_opts"] = tuple(option.model_dump() for option in self.extra_dhcp_opts)
        return values


class PortCreate(PortUpdate, Owned):
    network_id: Id
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")] | None = None
    """Made by the caller; from workers only."""


class SecurityGroupUpdate(Named):
    stateful: Bool = True


class SecurityGroupCreate(SecurityGroupUpdate, Owned):
    pass


def _ethertype(value: Any) -> Any:
    return {"ipv4": "IPv4", "ipv6": "IPv6"}.get(value.lower(), value) if isinstance(value, str) else value


class SecurityGroupRuleCreate(Owned):
    security_group_id: Id
    direction: Literal["ingress", "egress"]
    ethertype: Annotated[Literal["IPv4", "IPv6"], BeforeValidator(_ethertype)] = "IPv4"
    protocol: Annotated[Text, BeforeValidator(lambda v: str(v) if isinstance(v, int) else v)] | None = None
    port_range_min: Int | None = None
    port_range_max: Int | None = None
    remote_ip_prefix: Text | None = None
    remote_group_id: Id | None = None
    description: Text = ""


class TagsBody(Body):
    tags: tuple[Annotated[Text, Field(min_length=1)], ...] = Field(max_length=50)


class QuotaUpdate(Body):
    network: Int = Field(0, ge=-1, le=2**31 - 1)
    subnet: Int = Field(0, ge=-1, le=2**31 - 1)
    port: Int = Field(0, ge=-1, le=2**31 - 1)
    security_group: Int = Field(0, ge=-1, le=2**31 - 1)
    security_group_rule: Int = Field(0, ge=-1, le=2**31 - 1)
    router: Int = Field(0, ge=-1, le=2**31 - 1)
    floatingip: Int = Field(0, ge=-1, le=2**31 - 1)
