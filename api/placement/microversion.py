"""``OpenStack-API-Version: placement 1.N`` (Placement API reference, "REST API Version History")."""

import re
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from infra.domain.errors import BadRequest, NotFound

MINIMUM, MAXIMUM = 0, 39
"""Minor versions; without a header a request is of the minimum."""
_HEADER = "openstack-api-version"


class _Unacceptable(Exception):
    """Another version than those there are."""


def versions() -> dict[str, str]:
    return {"max_version": f"1.{MAXIMUM}", "min_version": f"1.{MINIMUM}"}


def install(app: FastAPI) -> None:
    """Answer unknown versions with 406 and the range there is, which clients negotiate by."""

    async def unacceptable(request: Request, error: Exception) -> Response:
        detail = f"Unacceptable version header: {error}"
        body = {"status": 406, "title": "Not Acceptable", "detail": detail, **versions()}
        return JSONResponse({"errors": [body]}, 406)

    app.add_exception_handler(_Unacceptable, unacceptable)


async def requested(request: Request, response: Response) -> int:
    """The minor version that the request is of; the answer says so too.

    Raises:
        BadRequest: the header can't be read.
    """
    minor = MINIMUM
    for part in request.headers.get(_HEADER, "").split(","):
        service, _, version = part.strip().partition(" ")
        if service.lower() == "placement":
            minor = _minor(version.strip())
    response.headers[_HEADER] = f"placement 1.{minor}"
    response.headers["vary"] = _HEADER
    return minor


Version = Annotated[int, Depends(requested)]


def since(version: int, first: int) -> None:
    """Raises NotFound where a path is younger than the version of the request."""
    if version < first:
        raise NotFound("The resource could not be found.")


def _minor(version: str) -> int:
    if version == "latest":
        return MAXIMUM
    form = re.fullmatch(r"(\d{1,4})\.(\d{1,4})", version)
    if form is None:
        raise BadRequest(f"invalid version string: {version[:40]!r}")
    if int(form[1]) != 1 or not MINIMUM <= int(form[2]) <= MAXIMUM:
        raise _Unacceptable(version)
    return int(form[2])
