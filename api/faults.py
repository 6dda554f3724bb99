"""Errors on the wire, in the form each OpenStack service uses.

Sources: the fault sections of the Compute, Block Storage, Identity v3, Networking v2.0, Image v2 and Placement API
references. Whatever goes wrong, a client gets one of these, never a traceback.
"""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from temporalio.service import RPCError

from infra.domain.errors import KilonovaError, TooManyRequests, Unavailable

log = logging.getLogger(__name__)

Style = Callable[[int, str, str], dict[str, Any]]
"""(status code, message, kind of error) -> body."""

_COMPUTE_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "notAcceptable",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}


def compute_style(code: int, message: str, kind: str) -> dict[str, Any]:
    return {_COMPUTE_NAMES.get(code, "computeFault"): {"code": code, "message": message}}


def identity_style(code: int, message: str, kind: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "title": HTTPStatus(code).phrase}}


def network_style(code: int, message: str, kind: str) -> dict[str, Any]:
    return {"NeutronError": {"type": kind, "message": message, "detail": ""}}


def placement_style(code: int, message: str, kind: str) -> dict[str, Any]:
    return {"errors": [{"status": code, "title": HTTPStatus(code).phrase, "detail": message}]}


def install(app: FastAPI, style: Style) -> None:
    """Make ``app`` answer every error in ``style``."""

    def answer(code: int, message: str, kind: str, headers: dict[str, str] | None = None) -> Response:
        return JSONResponse(style(code, message, kind), code, headers)

    async def expected(request: Request, error: Exception) -> Response:
        assert isinstance(error, KilonovaError)
        headers: dict[str, str] = {}
        if isinstance(error, Unavailable | TooManyRequests):
            headers["Retry-After"] = str(error.retry_after)
        elif error.code == 401:
            headers["WWW-Authenticate"] = f"Keystone uri='{request.app.state.services.settings.api_url}/identity'"
        elif error.code == 413:
            headers["Retry-After"] = "0"
        if error.code >= 500:
            log.warning("%s %s: %s", request.method, request.url.path, error.message)
        return answer(error.code, error.message, error.kind, headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(400, validation_message(error.errors()), "HTTPBadRequest")

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = f"HTTP{HTTPStatus(error.status_code).phrase.replace(' ', '')}"
        return answer(error.status_code, http_message(request.method, error), kind)

    async def away(request: Request, error: Exception) -> Response:
        log.warning("%s %s: %s", request.method, request.url.path, type(error).__name__)
        what = "database" if isinstance(error, DBAPIError) else "workflow service"
        message = f"The {what} does not answer now; send the request again."
        return answer(503, message, "ServiceUnavailable", {"Retry-After": "5"})

    async def unexpected(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return answer(500, "An unexpected error happened; the request id finds it in the log.", "InternalServerError")

    app.add_exception_handler(KilonovaError, expected)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(OperationalError, away)
    app.add_exception_handler(InterfaceError, away)
    app.add_exception_handler(RPCError, away)
    app.add_exception_handler(Exception, unexpected)


def http_message(method: str, error: HTTPException) -> str:
    match error.status_code:
        case 404:
            return "The resource could not be found: this service has nothing at that URL."
        case 405:
            return f"{method} is not available for this resource."
    return str(error.detail)


def validation_message(errors: Any) -> str:
    """One sentence from pydantic's list of errors; never repeats the input, which may hold a secret."""
    parts = []
    for error in list(errors)[:3]:
        where = ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path", "header"))
        text = error["msg"].removeprefix("Value error, ")
        parts.append(f"Invalid input for field/attribute {where}. {text}" if where else f"Invalid input. {text}")
    return " ".join(part.rstrip(".") + "." for part in parts)
