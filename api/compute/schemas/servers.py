"""Bodies of requests that make or change servers (Compute API reference, "Servers")."""

import base64
import binascii
import ipaddress
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from api.compute.schemas.block_devices import BlockDeviceV1, BlockDeviceV2
from api.compute.wire import Boolean, Integer, Metadata, Name, Printable, Tag, Text, Uuid, Versions, Wire

_NETWORKS_NEEDED = 37
_QUALIFIED_HOSTNAMES = 94


def _address(value: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> str:
    try:
        return str(kind(value)) if value else ""
    except ValueError:
        raise ValueError(f"is not an {kind.__name__[:4]} address") from None


def _any_address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("is not an IP address") from None


def reference(value: Any) -> Any:
    """An id, or an address that ends in one, as clients of the first version sent."""
    return value.rstrip("/").rsplit("/", 1)[-1] if isinstance(value, str) and "://" in value else value


def _encoded(value: str) -> str:
    try:
        base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64") from None
    return value


def _unique(value: list[str]) -> list[str]:
    if len(set(value)) != len(value):
        raise ValueError("holds the same value twice")
    return value


def no_files(value: list[Any] | None) -> None:
    if value:
        raise ValueError("file injection is not supported; use user_data or a config drive")


AccessIpV4 = Annotated[str, Field(max_length=15), AfterValidator(lambda v: _address(v, ipaddress.IPv4Address))]
AccessIpV6 = Annotated[str, Field(max_length=45), AfterValidator(lambda v: _address(v, ipaddress.IPv6Address))]
IpAddress = Annotated[str, Field(max_length=45), AfterValidator(_any_address)]
ImageRef = Annotated[Uuid | Literal[""], BeforeValidator(reference)]
FlavorRef = Annotated[
    str,
    BeforeValidator(lambda v: str(v) if isinstance(v, int) and not isinstance(v, bool) else reference(v)),
    Field(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9. _\-]+\z"),
]
UserData = Annotated[str, Field(max_length=65535), AfterValidator(_encoded)]
Tags = Annotated[list[Tag], Field(max_length=50), AfterValidator(_unique)]
Hostname = Annotated[str, Field(min_length=2, max_length=255, pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9.\-]*[a-zA-Z0-9])?\z")]
Description = Annotated[Text | None, Versions(19)]
DiskConfig = Literal["AUTO", "MANUAL"]
Zone = Annotated[Name, Field(pattern=r"^[^/]+\z")]
HostName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9._\-]+\z")]


class NetworkEntry(Wire):
    uuid: Uuid | None = None
    port: Uuid | None = None
    fixed_ip: IpAddress | None = None
    tag: Annotated[Tag | None, Versions(42)] = None

    @model_validator(mode="after")
    def _names_something(self) -> "NetworkEntry":
        if self.uuid is None and self.port is None:
            raise ValueError("a network entry needs a uuid or a port")
        return self


class SecurityGroupEntry(Wire):
    name: Name


class SchedulerHints(Wire):
    """Hints that Kilonova knows; others are kept and have no effect, as in Nova."""

    model_config = Wire.model_config | {"extra": "allow"}

    group: Uuid | None = None
    same_host: Uuid | list[Uuid] | None = None
    different_host: Uuid | list[Uuid] | None = None


def hostname_form(value: str | None, info: ValidationInfo) -> str | None:
    if value is None:
        return None
    labels = value.split(".")
    if len(labels) > 1 and info.context is not None and info.context["version"] < _QUALIFIED_HOSTNAMES:
        raise ValueError("is not a host name without a domain")
    if any(not label or len(label) > 63 or label[0] == "-" or label[-1] == "-" for label in labels):
        raise ValueError("is not a host name")
    return value


class CreateServer(Wire):
    name: Name
    image: Annotated[ImageRef | None, Field(alias="imageRef")] = None
    flavor: Annotated[FlavorRef, Field(alias="flavorRef")]
    admin_password: Annotated[str | None, Field(alias="adminPass", max_length=255)] = None
    metadata: Metadata = Field(default_factory=dict)
    networks: Annotated[list[NetworkEntry], Field(max_length=64)] | Literal["auto", "none"] | None = None
    disk_config: Annotated[DiskConfig | None, Field(alias="OS-DCF:diskConfig")] = None
    access_ip_v4: Annotated[AccessIpV4 | None, Field(alias="accessIPv4")] = None
    access_ip_v6: Annotated[AccessIpV6 | None, Field(alias="accessIPv6")] = None
    personality: Annotated[list[Any] | None, AfterValidator(no_files), Versions(last=56)] = None
    availability_zone: Zone | None = None
    block_device_mapping: Annotated[list[BlockDeviceV1], Field(max_length=64)] | None = None
    block_device_mapping_v2: Annotated[list[BlockDeviceV2], Field(max_length=64)] | None = None
    config_drive: Boolean | Literal[""] | None = None
    key_name: Annotated[Printable, Field(min_length=1)] | None = None
    min_count: Annotated[Integer, Field(ge=1, le=1000)] | None = None
    max_count: Annotated[Integer, Field(ge=1, le=1000)] | None = None
    return_reservation_id: Boolean = False
    security_groups: Annotated[list[SecurityGroupEntry], Field(max_length=64)] | None = None
    user_data: UserData | None = None
    description: Description = None
    tags: Annotated[Tags | None, Versions(52)] = None
    trusted_image_certificates: Annotated[None, Versions(63)] = None
    host: Annotated[HostName | None, Versions(74)] = None
    hypervisor_hostname: Annotated[HostName | None, Versions(74)] = None
    hostname: Annotated[Hostname | None, AfterValidator(hostname_form), Versions(90)] = None

    @model_validator(mode="after")
    def _fits_the_version(self, info: ValidationInfo) -> "CreateServer":
        version = info.context["version"] if info.context else _NETWORKS_NEEDED
        if isinstance(self.networks, str) and version < _NETWORKS_NEEDED:
            raise ValueError("networks must be a list")
        if self.networks is None and version >= _NETWORKS_NEEDED:
            raise ValueError("'networks' is a required property")
        if self.block_device_mapping and self.block_device_mapping_v2:
            raise ValueError("block_device_mapping and block_device_mapping_v2 can not be used together")
        if self.hostname is not None and (self.max_count or self.min_count or 1) > 1:
            raise ValueError("hostname can not be given when several servers are requested")
        if self.min_count is not None and self.max_count is not None and self.min_count > self.max_count:
            raise ValueError("min_count must be <= max_count")
        return self


class CreateServerRequest(Wire):
    server: CreateServer
    hints: Annotated[SchedulerHints | None, Field(alias="os:scheduler_hints")] = None
    older_hints: Annotated[SchedulerHints | None, Field(alias="OS-SCH-HNT:scheduler_hints")] = None


class UpdateServer(Wire):
    name: Name | None = None
    access_ip_v4: Annotated[AccessIpV4 | None, Field(alias="accessIPv4")] = None
    access_ip_v6: Annotated[AccessIpV6 | None, Field(alias="accessIPv6")] = None
    disk_config: Annotated[DiskConfig | None, Field(alias="OS-DCF:diskConfig")] = None
    description: Description = None
    hostname: Annotated[Hostname | None, AfterValidator(hostname_form), Versions(90)] = None

    @model_validator(mode="after")
    def _only_description_and_hostname_may_be_null(self) -> "UpdateServer":
        for field in ("name", "access_ip_v4", "access_ip_v6", "disk_config", "hostname"):
            if field in self.model_fields_set and getattr(self, field) is None:
                raise ValueError(f"{field} must not be null")
        return self


class UpdateServerRequest(Wire):
    server: UpdateServer
