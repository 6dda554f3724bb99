"""Request bodies of the Placement API: JSON of a limited size, checked against closed schemas."""

import json
from typing import Any, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from infra.domain.errors import BadRequest, TooLarge, UnsupportedMediaType

MAX_BYTES = 114688
"""As oslo.middleware's default for the OpenStack services."""

M = TypeVar("M", bound=BaseModel)


def body(model: type[M]) -> Any:
    """A dependency that yields the request's body as ``model``."""

    async def read(request: Request) -> M:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise UnsupportedMediaType("The media type is not supported, use application/json.")
        received = bytearray()
        async for chunk in request.stream():
            received += chunk
            if len(received) > MAX_BYTES:
                raise TooLarge("The request body is too large.")
        try:
            return model.model_validate(json.loads(received))
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False, include_context=False)
            raise RequestValidationError(errors) from None
        except (ValueError, RecursionError):
            raise BadRequest("Malformed JSON.") from None

    return Depends(read)
