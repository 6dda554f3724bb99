"""Request bodies of routers and floating IPs; see ``schemas.py``."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from api.network.schemas import Body, Named, Owned, Route, Wish
from api.network.types import Bool, Id, IpAddress, Text
from infra.domain.network import AddressWish, HostRoute
from infra.domain.router import GatewayWish

MAX_ROUTES = 30
"""Of a router; Neutron's default."""


def _none_is_empty(value: Any) -> Any:
    return () if value is None else value


class GatewayInfo(Body):
    """``{}`` is no gateway, as null is."""

    network_id: Id | None = None
    enable_snat: Bool | None = None
    external_fixed_ips: tuple[Wish, ...] | None = Field(None, max_length=20)


class RouterCreate(Named, Owned):
    admin_state_up: Bool = True
    gateway_info: GatewayInfo | None = Field(None, alias="external_gateway_info")

    def given(self) -> dict[str, Any]:
        values = super().given()
        if "gateway_info" in values:
            values["gateway"] = _wish(values.pop("gateway_info"))
        return values


class RouterUpdate(Named):
    admin_state_up: Bool = True
    gateway_info: GatewayInfo | None = Field(None, alias="external_gateway_info")
    routes: Annotated[tuple[Route, ...], BeforeValidator(_none_is_empty), Field(max_length=MAX_ROUTES)] = ()

    @field_validator("routes")
    @classmethod
    def _no_duplicates(cls, value: tuple[Route, ...]) -> tuple[Route, ...]:
        if len(set(map(str, value))) < len(value):
            raise ValueError("it contains duplicate entries")
        return value

    def given(self) -> dict[str, Any]:
        values = super().given()
        if "gateway_info" in values:
            values["gateway"] = _wish(values.pop("gateway_info"))
        if "routes" in values:
            values["routes"] = tuple(HostRoute(**route.model_dump()) for route in self.routes)
        return values


def _wish(info: GatewayInfo | None) -> GatewayWish | None:
    if info is None or info.network_id is None:
        return None
    wanted = info.external_fixed_ips
    return GatewayWish(
        network_id=info.network_id,
        enable_snat=info.enable_snat,
        external_fixed_ips=None if wanted is None else tuple(AddressWish(**wish.model_dump()) for wish in wanted),
    )


class ExtraRoutes(Body):
    """Body of ``add_extraroutes`` and ``remove_extraroutes``."""

    routes: tuple[Route, ...] = Field(max_length=MAX_ROUTES)

    def all(self) -> tuple[HostRoute, ...]:
        return tuple(HostRoute(**route.model_dump()) for route in self.routes)


class Interface(Body):
    """Body of ``add_router_interface`` and ``remove_router_interface``."""

    subnet_id: Id | None = None
    port_id: Id | None = None


class FloatingIpUpdate(Body):
    description: Text = ""
    port_id: Id | None = None
    fixed_ip_address: IpAddress | None = None


class FloatingIpCreate(FloatingIpUpdate, Owned):
    floating_network_id: Id
    floating_ip_address: IpAddress | None = None
    subnet_id: Id | None = None
