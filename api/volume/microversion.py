"""Microversions of the volume API, and its two forms of URL.

``OpenStack-API-Version: volume 3.N`` asks for one; without it a request is 3.0. ``/v3/{project_id}/volumes`` means
``/v3/volumes``; the project is checked against the token's. A version 3.N is kept as the number N.

Sources: Block Storage API v3 reference and its microversion history.
"""

import re

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.faults import compute_style
from infra.domain.errors import BadRequest, KilonovaError

MAXIMUM = 71
_HEADER = b"openstack-api-version"
_NUMBER = re.compile(r"(\d{1,4})\.(\d{1,4})")
_PROJECT = re.compile(
    r"(?P<root>/volume/v3)/(?P<project>[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?P<rest>/.*)?"
)


class NotAcceptable(KilonovaError):
    code = 406


def negotiate(header: str) -> int:
    """The version that a header's value asks for.

    Raises:
        BadRequest: it is not a version.
        NotAcceptable: it is not one of those served.
    """
    for part in header.split(","):
        service, _, value = part.strip().partition(" ")
        if service.lower() not in ("volume", "volumev3", "block-storage"):
            continue
        value = value.strip()
        if value.lower() == "latest":
            return MAXIMUM
        match = _NUMBER.fullmatch(value)
        if match is None:
            raise BadRequest("API Version String is of invalid format. Must be of format MajorNum.MinorNum.")
        if match[1] != "3" or int(match[2]) > MAXIMUM:
            raise NotAcceptable(
                f"Version {value} is not supported by the API. Minimum is 3.0 and maximum is 3.{MAXIMUM}."
            )
        return int(match[2])
    return 0


class Microversions:
    """Puts ``microversion`` and ``path_project`` into the scope, and the version into the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            refusal = JSONResponse(compute_style(404, "The resource could not be found.", ""), 404)
            await refusal(scope, receive, send)
            return
        try:
            version = negotiate(
                b",".join(value for name, value in scope["headers"] if name == _HEADER).decode("latin-1")
            )
        except KilonovaError as e:
            await JSONResponse(compute_style(e.code, e.message, e.kind), e.code)(scope, receive, send)
            return
        said = [(_HEADER, f"volume 3.{version}".encode()), (b"vary", b"OpenStack-API-Version")]

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *said]
            await send(message)

        await self.app({**_without_project(scope), "microversion": version}, receive, tagged)


def _without_project(scope: Scope) -> Scope:
    match = _PROJECT.fullmatch(scope["path"])
    if match is None:
        return {**scope, "path_project": None}
    path = match["root"] + (match["rest"] or "")
    return {**scope, "path": path, "raw_path": path.encode(), "path_project": match["project"]}
