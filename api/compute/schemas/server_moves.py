"""Bodies of the actions that move a server (Compute API reference, "Servers - run an action")."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from api.compute.schemas.servers import (
    AccessIpV4,
    AccessIpV6,
    Description,
    DiskConfig,
    FlavorRef,
    HostName,
    Hostname,
    UserData,
    hostname_form,
    no_files,
    reference,
)
from api.compute.wire import Boolean, Metadata, Name, Printable, Uuid, Versions, Wire


class Rebuild(Wire):
    image: Annotated[Uuid, BeforeValidator(reference), Field(alias="imageRef")]
    name: Name | None = None
    admin_password: Annotated[str | None, Field(alias="adminPass", max_length=255)] = None
    metadata: Metadata | None = None
    preserve_ephemeral: Boolean = False
    """There are no such disks."""
    disk_config: Annotated[DiskConfig | None, Field(alias="OS-DCF:diskConfig")] = None
    access_ip_v4: Annotated[AccessIpV4 | None, Field(alias="accessIPv4")] = None
    access_ip_v6: Annotated[AccessIpV6 | None, Field(alias="accessIPv6")] = None
    personality: Annotated[list[Any] | None, AfterValidator(no_files), Versions(last=56)] = None
    description: Description = None
    key_name: Annotated[Annotated[Printable, Field(min_length=1)] | None, Versions(54)] = None
    user_data: Annotated[UserData | None, Versions(57)] = None
    trusted_image_certificates: Annotated[None, Versions(63)] = None
    hostname: Annotated[Hostname | None, AfterValidator(hostname_form), Versions(90)] = None

    @model_validator(mode="after")
    def _only_some_may_be_null(self) -> "Rebuild":
        for field in ("name", "admin_password", "metadata", "disk_config", "access_ip_v4", "access_ip_v6", "hostname"):
            if field in self.model_fields_set and getattr(self, field) is None:
                raise ValueError(f"{field} must not be null")
        return self


class Resize(Wire):
    flavor: Annotated[FlavorRef, Field(alias="flavorRef")]
    disk_config: Annotated[DiskConfig | None, Field(alias="OS-DCF:diskConfig")] = None
    """Has no effect: disks are always made as large as the flavor says."""


class Evacuate(Wire):
    host: HostName | None = None
    admin_password: Annotated[str | None, Field(alias="adminPass", max_length=255)] = None
    on_shared_storage: Annotated[Boolean | None, Field(alias="onSharedStorage"), Versions(last=13)] = None
    """Says what is so in any case: root disks are the host's own, volumes are shared."""
    force: Annotated[Boolean | None, Versions(29, 67)] = None


class Migrate(Wire):
    host: Annotated[HostName | None, Versions(56)] = None
