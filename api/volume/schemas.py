"""What clients may send to the volume service (Block Storage API v3), checked for form."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

_LINE = r"^[^\x00-\x1f\x7f]*$"
_TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
_UUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
MAX_SIZE = 2**31 - 1
MAX_METADATA = 128


def _whole(value: Any) -> Any:
    """Whole numbers, and texts of them, as older clients send."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("It must be a whole number.")
    text = str(value).strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        raise ValueError("It must be a whole number that is not negative.")
    return int(text)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "1", "t", "yes", "on", "y"):
        return True
    if isinstance(value, str) and value.lower() in ("false", "0", "f", "no", "off", "n"):
        return False
    raise ValueError("It must be true or false.")


Name = Annotated[str, StringConstraints(max_length=255, pattern=_LINE)]
Description = Annotated[str, StringConstraints(max_length=255, pattern=_TEXT)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=_LINE)]
Uuid = Annotated[str, StringConstraints(to_lower=True, pattern=_UUID)]
Size = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=MAX_SIZE)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_LINE)]
Value = Annotated[str, StringConstraints(max_length=255, pattern=_TEXT)]
Metadata = Annotated[dict[Key, Value], Field(max_length=MAX_METADATA)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class NewVolume(_Body):
    id: Uuid | None = None
    """From workers only, who make ids before the work."""
    size: Size | None = None
    name: Name | None = None
    display_name: Name | None = None
    description: Description | None = None
    display_description: Description | None = None
    volume_type: Name | None = None
    availability_zone: Name | None = None
    metadata: Metadata | None = None
    imageRef: Id | None = None
    image_id: Id | None = None
    snapshot_id: Id | None = None
    source_volid: Id | None = None
    source_replica: None = None
    backup_id: None = None
    consistencygroup_id: None = None
    group_id: None = None
    multiattach: Flag = False
    user_id: Any = None
    project_id: Any = None
    status: Any = None
    attach_status: Any = None
    scheduler_hints: Any = Field(default=None, alias="OS-SCH-HNT:scheduler_hints")


class VolumeChange(_Body):
    name: Name | None = None
    display_name: Name | None = None
    description: Description | None = None
    display_description: Description | None = None
    metadata: Metadata | None = None


class MetadataBody(_Body):
    metadata: Metadata


class MetaBody(_Body):
    meta: Annotated[dict[Key, Value], Field(min_length=1, max_length=1)]


class Extend(_Body):
    new_size: Size


class Attach(_Lenient):
    instance_uuid: Uuid | None = None
    host_name: Name | None = None
    mountpoint: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_LINE)] = "/dev/vdb"
    mode: Literal["rw", "ro"] = "rw"


class Detach(_Lenient):
    attachment_id: Uuid | None = None


class SetBootable(_Body):
    bootable: Flag


class SetReadOnly(_Body):
    readonly: Flag


class ResetStatus(_Lenient):
    status: (
        Literal[
            "available",
            "in-use",
            "creating",
            "deleting",
            "error",
            "error_deleting",
            "error_extending",
            "attaching",
            "detaching",
            "reserved",
            "maintenance",
        ]
        | None
    ) = None


class UploadImage(_Lenient):
    image_name: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_LINE)]
    disk_format: Literal["raw", "qcow2"] = "raw"
    container_format: Literal["bare"] = "bare"
    visibility: Literal["shared", "private", "community", "public"] = "shared"
    protected: Flag = False
    force: Flag = False


class Retype(_Lenient):
    new_type: Name
    migration_policy: Literal["never", "on-demand"] = "never"


class Connector(_Lenient):
    host: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_LINE)]
    attempt: Annotated[int, Field(ge=0, le=MAX_SIZE)] = 0
    mountpoint: Name | None = None


def _no_other(value: str) -> str:
    return "rw" if value == "null" else value


class NewAttachment(_Body):
    id: Uuid | None = None
    volume_uuid: Uuid
    instance_uuid: Uuid
    connector: Connector | None = None
    mode: Annotated[Literal["rw", "ro", "null"], AfterValidator(_no_other)] = "rw"
    device: Name | None = None


class UpdateAttachment(_Body):
    connector: Connector


class Complete(_Lenient):
    device: Name | None = None


class NewSnapshot(_Body):
    id: Uuid | None = None
    """From workers only, who make ids before the work."""
    volume_id: Id | None
    name: Name | None = None
    display_name: Name | None = None
    description: Description | None = None
    display_description: Description | None = None
    metadata: Metadata | None = None
    force: Flag = False


class NewType(_Lenient):
    name: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_LINE)]
    description: Description | None = None
    is_public: Flag = Field(default=True, alias="os-volume-type-access:is_public")
    extra_specs: Metadata = {}


class TypeChange(_Lenient):
    name: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_LINE)] | None = None
    description: Description | None = None
    is_public: Flag | None = None


Limit = Annotated[int, Field(ge=-1, le=MAX_SIZE, strict=True)]


class QuotaChange(_Lenient):
    volumes: Limit | None = None
    snapshots: Limit | None = None
    gigabytes: Limit | None = None
