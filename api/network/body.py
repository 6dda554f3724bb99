"""Request bodies: read with a limit, unwrapped, one resource or several, and checked."""

import json
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from api.faults import validation_message
from infra.domain.errors import BadRequest, TooLarge

MAX_BYTES = 114688
"""As oslo.middleware's default for the OpenStack services."""

B = TypeVar("B", bound=BaseModel)


async def _json(request: Request) -> Any:
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MAX_BYTES:
            raise TooLarge("The request body is too large.", kind="HTTPRequestEntityTooLarge")
    try:
        return json.loads(received)
    except (ValueError, RecursionError):
        raise _refused("The body is not valid JSON.") from None


JsonDep = Annotated[Any, Depends(_json)]


def one(body: Any, name: str, schema: type[B]) -> B:
    """The resource under its name.

    Raises:
        BadRequest: no such key, another key beside it, or an attribute is unknown, read-only or malformed.
    """
    if not isinstance(body, dict) or set(body) != {name}:
        raise _refused(f"The body must hold '{name}' and nothing else.")
    return _checked(body[name], schema)


def whole(body: Any, schema: type[B]) -> B:
    """A body that is not wrapped. Raises as ``one``."""
    return _checked(body, schema)


def several(body: Any, name: str, plural: str, schema: type[B]) -> tuple[list[B], bool]:
    """The resources of a create request, and whether it was a bulk one. Raises as ``one``."""
    if isinstance(body, dict) and set(body) == {plural}:
        if not isinstance(body[plural], list) or not body[plural]:
            raise _refused("Resources required.")
        return [_checked(item, schema) for item in body[plural]], True
    return [one(body, name, schema)], False


def _checked(value: Any, schema: type[B]) -> B:
    if not isinstance(value, dict):
        raise _refused("A resource must be a JSON object.")
    try:
        return schema.model_validate(value)
    except ValidationError as e:
        errors = e.errors(include_url=False, include_context=False, include_input=False)
        unknown = [str(error["loc"][-1])[:64] for error in errors if error["type"] == "extra_forbidden"]
        if unknown:
            names = ", ".join(f"'{name.encode('ascii', 'replace').decode()}'" for name in unknown[:5])
            raise _refused(f"Unrecognized or read-only attribute(s) {names}.") from None
        raise _refused(validation_message(errors)) from None


def _refused(message: str) -> BadRequest:
    return BadRequest(message, kind="HTTPBadRequest")
