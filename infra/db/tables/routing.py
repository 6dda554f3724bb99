"""Rows of the Network Service's routers and floating IPs."""

from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from infra.db.types import Json, UtcDateTime


class RouterRow(SQLModel, table=True):
    """Its interfaces and its gateway are ports, whose ``device_id`` is the router's id."""

    __tablename__ = "routers"

    id: str = Field(primary_key=True)
    project_id: str = Field(index=True)
    name: str
    description: str
    admin_state_up: bool
    gateway_port_id: str | None = Field(default=None, foreign_key="ports.id", index=True)
    enable_snat: bool = True
    routes: list[dict[str, str]] = Field(sa_type=Json)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    revision: int = 0


class FloatingIpRow(SQLModel, table=True):
    """Its address is that of a port on the external network, whose ``device_id`` is the floating IP's id."""

    __tablename__ = "floating_ips"
    __table_args__ = (UniqueConstraint("port_id", "fixed_ip_address"),)

    id: str = Field(primary_key=True)
    project_id: str = Field(index=True)
    description: str
    floating_network_id: str = Field(foreign_key="networks.id", index=True)
    floating_port_id: str = Field(foreign_key="ports.id", index=True)
    floating_ip_address: str
    port_id: str | None = Field(default=None, foreign_key="ports.id")
    fixed_ip_address: str | None = None
    router_id: str | None = Field(default=None, foreign_key="routers.id", index=True)
    status: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    revision: int = 0
