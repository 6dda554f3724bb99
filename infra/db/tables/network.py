"""Rows of the Network Service. Written by its aggregates in ``infra/db`` only."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, UniqueConstraint
from sqlmodel import Field, SQLModel

from infra.db.types import Json, UtcDateTime


class NetworkRow(SQLModel, table=True):
    __tablename__ = "networks"

    id: str = Field(primary_key=True)
    project_id: str = Field(index=True)
    name: str
    description: str
    admin_state_up: bool
    shared: bool
    external: bool
    port_security_enabled: bool
    mtu: int
    vni: int = Field(unique=True)
    availability_zone_hints: list[str] = Field(sa_type=Json)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    revision: int = 0


class SubnetRow(SQLModel, table=True):
    __tablename__ = "subnets"

    id: str = Field(primary_key=True)
    project_id: str = Field(index=True)
    network_id: str = Field(foreign_key="networks.id", index=True)
    name: str
    description: str
    ip_version: int
    cidr: str
    gateway_ip: str | None
    enable_dhcp: bool
    dns_nameservers: list[str] = Field(sa_type=Json)
    host_routes: list[dict[str, str]] = Field(sa_type=Json)
    allocation_pools: list[dict[str, str]] = Field(sa_type=Json)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    revision: int = 0


class PortRow(SQLModel, table=True):
    __tablename__ = "ports"
    __table_args__ = (UniqueConstraint("network_id", "mac_address"),)

    id: str = Field(primary_key=True)
    project_id: str = Field(index=True)
    network_id: str = Field(foreign_key="networks.id")
    name: str
    description: str
    mac_address: str
    admin_state_up: bool
    status: str
    device_id: str = Field(index=True)
    device_owner: str
    host: str = Field(index=True)
    bound_by: str = ""
    """Idempotency key of the call that bound the port; a late undo of an earlier attempt is told by it."""
    binding_profile: dict[str, Any] = Field(sa_type=Json)
    vnic_type: str
    port_security_enabled: bool
    allowed_address_pairs: list[dict[str, str]] = Field(sa_type=Json)
    extra_dhcp_opts: list[dict[str, Any]] = Field(sa_type=Json)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    revision: int = 0


class AddressRow(SQLModel, table=True):
    """An address in use. The primary key decides who gets it when several ask at once."""

    __tablename__ = "port_addresses"

    subnet_id: str = Field(primary_key=True, foreign_key="subnets.id")
    address_key: str = Field(primary_key=True)
    """The address as 32 hexadecimal digits: sorts as the number does, for IPv4 and IPv6, on every database."""
    ip_address: str = Field(index=True)
    port_id: str = Field(foreign_key="ports.id", index=True)
    position: int
    """Place in the port's ``fixed_ips``."""


class PortSecurityGroupRow(SQLModel, table=True):
    __tablename__ = "port_security_groups"

    port_id: str = Field(primary_key=True, foreign_key="ports.id")
    security_group_id: str = Field(primary_key=True, foreign_key="security_groups.id", index=True)


class SecurityGroupRow(SQLModel, table=True):
    __tablename__ = "security_groups"

    id: str = Field(primary_key=True)
    project_id: str = Field(index=True)
    name: str
    description: str
    stateful: bool
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    revision: int = 0


class DefaultSecurityGroupRow(SQLModel, table=True):
    """A project's ``default`` group; the primary key sees to it that there is one only."""

    __tablename__ = "default_security_groups"

    project_id: str = Field(primary_key=True)
    security_group_id: str = Field(foreign_key="security_groups.id")


class SecurityGroupRuleRow(SQLModel, table=True):
    __tablename__ = "security_group_rules"

    id: str = Field(primary_key=True)
    project_id: str = Field(index=True)
    security_group_id: str = Field(foreign_key="security_groups.id", index=True)
    direction: str
    ethertype: str
    protocol: str | None
    port_range_min: int | None
    port_range_max: int | None
    remote_ip_prefix: str | None
    remote_group_id: str | None = Field(foreign_key="security_groups.id", index=True)
    description: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    revision: int = 0


class NetworkTagRow(SQLModel, table=True):
    """Tags of whatever the Network Service has."""

    __tablename__ = "network_tags"

    resource_id: str = Field(primary_key=True)
    tag: str = Field(primary_key=True)


class NetworkQuotaRow(SQLModel, table=True):
    """Limits of a project that differ from the defaults. Its row is also what allocations of one project queue on."""

    __tablename__ = "network_quotas"

    project_id: str = Field(primary_key=True)
    limits: dict[str, int] = Field(sa_type=Json)


class NetworkChangeRow(SQLModel, table=True):
    """How often the networking of a host was changed: the host compares it with what it has seen."""

    __tablename__ = "network_changes"

    host: str = Field(primary_key=True)
    change: int = Field(sa_type=BigInteger)
