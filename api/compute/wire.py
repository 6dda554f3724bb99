"""Request bodies: closed schemas whose fields come and go with the microversion.

Source: Compute API reference ("additionalProperties" is false everywhere, a field unknown at the version is 400).
"""

import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

import orjson
from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, model_validator
from pydantic.functional_validators import AfterValidator

from infra.domain.errors import BadRequest, TooLarge, UnsupportedMediaType

MAX_BODY_BYTES = 512 * 1024
_TRUE = (True, "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes")
_FALSE = (False, "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no")


@dataclass(frozen=True)
class Versions:
    """Marks a field that is known from 2.``first`` to 2.``last`` only."""

    first: int = 1
    last: int = 10_000

    def knows(self, version: int) -> bool:
        return self.first <= version <= self.last


class Wire(BaseModel):
    """Base of every request body: closed, strict about types, aware of the microversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)
    bounded: ClassVar[dict[str, Versions]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        cls.bounded = {
            field.alias or name: bound
            for name, field in cls.model_fields.items()
            for bound in field.metadata
            if isinstance(bound, Versions)
        }

    @model_validator(mode="before")
    @classmethod
    def _known_at_this_version(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(data, dict) and info.context is not None:
            for name, bound in cls.bounded.items():
                if name in data and not bound.knows(info.context["version"]):
                    raise ValueError(f"Additional properties are not allowed ('{name}' was unexpected)")
        return data


W = TypeVar("W", bound=Wire)


def parse(model: type[W], data: Any, version: int) -> W:
    """Check ``data`` against a schema at 2.``version``.

    Raises:
        RequestValidationError: it doesn't fit; the message repeats no value.
    """
    try:
        return model.model_validate(data, context={"version": version})
    except ValidationError as e:
        raise RequestValidationError(e.errors(include_url=False, include_input=False, include_context=False)) from None


async def json_body(request: Request) -> Any:
    """The JSON of a request.

    Raises:
        UnsupportedMediaType, TooLarge, BadRequest: it isn't JSON, or is larger than any request needs.
    """
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType(f"Unsupported Content-Type: only application/json is understood, not {media_type}.")
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise TooLarge(f"The request is larger than {MAX_BODY_BYTES} bytes.")
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadRequest("Malformed request body: it is not JSON.") from None
    if b"\\u0000" in raw and _holds_nul(data):
        raise BadRequest("Invalid input: the character NUL is not allowed.")
    return data


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or _holds_nul(entry) for key, entry in value.items())
    return isinstance(value, list) and any(_holds_nul(entry) for entry in value)


def body(model: type[W]) -> Any:
    """A dependency that yields the request's body as ``model``, checked at the request's microversion."""

    async def read(request: Request) -> W:
        return parse(model, await json_body(request), request.scope["microversion"])

    return Depends(read)


def _printable(value: str, *, also: str = "") -> str:
    for character in value:
        kind = unicodedata.category(character)
        if (kind[0] == "C" or kind in ("Zl", "Zp")) and character not in also:
            raise ValueError("it holds characters that can't be printed")
    return value


def _name(value: str) -> str:
    if value != value.strip():
        raise ValueError("Can not start or end with a whitespace")
    return _printable(value)


def _integer(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isascii() and value.lstrip("-").isdigit() else value


def _boolean(value: Any) -> Any:
    if isinstance(value, bool | str):
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
    return value


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_name)]
"""Printable, 1 to 255 characters, no blanks at either end."""
Printable = Annotated[str, Field(max_length=255), AfterValidator(_printable)]
Text = Annotated[str, Field(max_length=255), AfterValidator(lambda value: _printable(value, also="\t\n\r"))]
Integer = Annotated[int, BeforeValidator(_integer)]
"""A number, or one written as a string, as the API has it in most places."""
Boolean = Annotated[bool, BeforeValidator(_boolean)]
Uuid = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\z|^[0-9a-fA-F]{32}\z")]
MetadataKey = Annotated[str, Field(pattern=r"^[a-zA-Z0-9\-_:. ]{1,255}\z")]
Metadata = dict[MetadataKey, Text]
Tag = Annotated[str, Field(pattern=r"^[^,/]{1,60}\z"), AfterValidator(_printable)]
