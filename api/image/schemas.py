"""What clients may send to the image service (Image API v2, "Images"), checked for form."""

import uuid
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    ValidationError,
)

from api.faults import validation_message
from infra.domain.errors import BadRequest, Forbidden
from infra.domain.image import CONTAINER_FORMATS, DISK_FORMATS

M = TypeVar("M", bound=BaseModel)

READ_ONLY = frozenset(
    [
        "status",
        "size",
        "virtual_size",
        "checksum",
        "os_hash_algo",
        "os_hash_value",
        "created_at",
        "updated_at",
        "self",
        "file",
        "schema",
        "direct_url",
        "locations",
        "stores",
        "deleted",
        "deleted_at",
        "is_public",
    ]
)
MAX_PROPERTIES = 128
MAX_TAGS = 128
MAX_INTEGER = 2**31 - 1
_RESERVED = "os_glance"
_REFERENCES = ("kernel_id", "ramdisk_id")
_LINE = r"^[^\x00-\x1f\x7f]*$"

Line = Annotated[str, StringConstraints(max_length=255, pattern=_LINE)]
PropertyName = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_LINE)]
PropertyValue = Annotated[str, StringConstraints(max_length=65535, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_LINE)]
Size = Annotated[StrictInt, Field(ge=0, le=MAX_INTEGER)]


def is_uuid(value: str) -> bool:
    try:
        return str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False


def _uuid(value: str) -> str:
    if not is_uuid(value):
        raise ValueError("It must be a UUID.")
    return value.lower()


def _disk_format(value: str | None) -> str | None:
    if value is not None and value not in DISK_FORMATS:
        raise ValueError(f"The disk format must be one of {', '.join(DISK_FORMATS)}.")
    return value


def _container_format(value: str | None) -> str | None:
    if value is not None and value not in CONTAINER_FORMATS:
        raise ValueError(f"The container format must be one of {', '.join(CONTAINER_FORMATS)}.")
    return value


class ImageFields(BaseModel):
    """All that a client may set of an image, at creation or later."""

    model_config = ConfigDict(extra="forbid")

    name: Line | None = None
    visibility: Literal["public", "community", "shared", "private"] = "shared"
    protected: StrictBool = False
    os_hidden: StrictBool = False
    disk_format: Annotated[str | None, AfterValidator(_disk_format)] = None
    container_format: Annotated[str | None, AfterValidator(_container_format)] = None
    min_disk: Size = 0
    min_ram: Size = 0
    owner: Line | None = None
    tags: Annotated[list[Tag], Field(max_length=MAX_TAGS)] = []
    properties: Annotated[dict[PropertyName, PropertyValue | None], Field(max_length=MAX_PROPERTIES)] = {}


BASE = frozenset(ImageFields.model_fields) - {"properties"}


class ImageId(BaseModel):
    id: Annotated[str, AfterValidator(_uuid)]


class NewMember(BaseModel):
    model_config = ConfigDict(extra="forbid")

    member: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_LINE)]


class MemberAnswer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: Literal["pending", "accepted", "rejected"]


class TagName(BaseModel):
    tag: Tag


def check(model: type[M], data: Any) -> M:
    """Raises BadRequest that says what is wrong, without repeating the value."""
    try:
        return model.model_validate(data)
    except ValidationError as e:
        raise BadRequest(validation_message(e.errors())) from None


def fields(flat: dict[str, Any]) -> ImageFields:
    """Fields from the flat form of the wire, in which custom properties stand beside the image's own.

    Raises:
        Forbidden: a property is not the client's to set.
        BadRequest: a value has the wrong form.
    """
    for name in flat:
        refuse_read_only(name)
    own = {name: value for name, value in flat.items() if name in BASE}
    custom = {name: value for name, value in flat.items() if name not in BASE}
    found = check(ImageFields, {**own, "properties": custom})
    for name, value in found.properties.items():
        if value is None and name not in _REFERENCES:
            raise BadRequest(f"The value of the property {name} must be a string.")
        if value is not None and name in _REFERENCES and not is_uuid(value):
            raise BadRequest(f"The property {name} must be the id of an image.")
    return found


def refuse_read_only(name: str) -> None:
    if name in READ_ONLY:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name.startswith(_RESERVED):
        raise Forbidden(f"Attribute '{name}' is reserved.")
    if name == "properties":
        raise BadRequest("Properties stand at the top level of an image, not under 'properties'.")
