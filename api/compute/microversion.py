"""Microversions of the compute API, and the forms of URL that clients send.

A version 2.N is kept as the number N. Sources: Compute API guide, "Microversions"; API-SIG microversion specification.
"""

import re
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.faults import compute_style
from infra.domain.errors import KilonovaError, NotFound

MINIMUM = 1
MAXIMUM = 96

_NUMBER = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")
_PROJECT = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class NotAcceptable(KilonovaError):
    code = 406


class MalformedVersion(KilonovaError):
    code = 400


def negotiate(standard: str | None, legacy: str | None) -> int:
    """The version that a request asks for, by ``OpenStack-API-Version`` or ``X-OpenStack-Nova-API-Version``.

    Raises:
        NotAcceptable: it isn't one of those served.
        MalformedVersion: it isn't a version.
    """
    asked = legacy
    for part in (standard or "").split(","):
        service, _, value = part.strip().partition(" ")
        if service.lower() == "compute":
            asked = value
    if asked is None:
        return MINIMUM
    asked = asked.strip()
    if asked.lower() == "latest":
        return MAXIMUM
    match = _NUMBER.fullmatch(asked)
    if match is None:
        raise MalformedVersion("API Version String is of invalid format. Must be of format MajorNum.MinorNum.")
    major, minor = int(match[1]), int(match[2])
    if major != 2 or not MINIMUM <= minor <= MAXIMUM:
        raise NotAcceptable(
            f"Version {asked} is not supported by the API. Minimum is 2.{MINIMUM} and maximum is 2.{MAXIMUM}."
        )
    return minor


class Microversions:
    """Reads the version of each request, says it in the reply, and takes the project's id out of the path.

    ``/v2.1/{project_id}/servers`` and ``/v2/...`` mean ``/v2.1/servers``; the older ``/v2`` has no microversions.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            await _refuse(404, "The resource could not be found.")(scope, receive, send)
            return
        scope = _normalise(scope)
        try:
            version = MINIMUM if scope["compute_v2"] else negotiate(*_asked(scope))
        except KilonovaError as e:
            await _refuse(e.code, e.message)(scope, receive, send)
            return
        scope["microversion"] = version

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_headers(version)]
            await send(message)

        await self.app(scope, receive, send if scope["compute_v2"] else tagged)


def _asked(scope: Scope) -> tuple[str | None, str | None]:
    headers: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        headers[name] = f"{headers[name]},{value.decode('latin-1')}" if name in headers else value.decode("latin-1")
    return headers.get(b"openstack-api-version"), headers.get(b"x-openstack-nova-api-version")


def _headers(version: int) -> list[tuple[bytes, bytes]]:
    number = f"2.{version}".encode()
    return [
        (b"openstack-api-version", b"compute " + number),
        (b"x-openstack-nova-api-version", number),
        (b"vary", b"OpenStack-API-Version, X-OpenStack-Nova-API-Version"),
    ]


def _normalise(scope: Scope) -> Scope:
    root: str = scope.get("root_path", "")
    segments = scope["path"].removeprefix(root).strip("/").split("/")
    legacy = segments[0] == "v2" and len(segments) > 1
    project = None
    if legacy:
        segments[0] = "v2.1"
    if segments[0] == "v2.1" and len(segments) > 1 and _PROJECT.fullmatch(segments[1]):
        project = segments.pop(1)
    path = root + "/" + "/".join(segments)
    return {**scope, "path": path, "raw_path": path.encode(), "url_project_id": project, "compute_v2": legacy}


def _refuse(code: int, message: str) -> JSONResponse:
    return JSONResponse(compute_style(code, message, ""), code)


async def version_of(request: Request) -> int:
    version: int = request.scope["microversion"]
    return version


Version = Annotated[int, Depends(version_of)]


def versions(first: int = MINIMUM, last: int = MAXIMUM) -> Any:
    """A dependency that lets a route be there from 2.``first`` to 2.``last`` only."""

    async def checked(version: Version) -> None:
        if not first <= version <= last:
            raise NotFound("The resource could not be found.")

    return Depends(checked)
