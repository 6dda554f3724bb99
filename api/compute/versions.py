"""Which versions of the compute API there are (Compute API reference, "API versions")."""

from typing import Any

from fastapi import APIRouter, Request

from api.compute.microversion import MAXIMUM, MINIMUM
from api.deps import ServicesDep

router = APIRouter()
_MEDIA = "application/vnd.openstack.compute+json;version={}"


def _version(base: str, number: str) -> dict[str, Any]:
    newest = number == "2.1"
    return {
        "id": f"v{number}",
        "status": "CURRENT" if newest else "SUPPORTED",
        # 2.0 has no microversions, and says so by empty strings.
        "version": f"2.{MAXIMUM}" if newest else "",
        "min_version": f"2.{MINIMUM}" if newest else "",
        "updated": "2013-07-23T11:33:21Z" if newest else "2011-01-21T11:33:21Z",
        "links": [{"rel": "self", "href": f"{base}/compute/v{'2.1' if newest else '2'}/"}],
    }


@router.get("/")
async def every(found: ServicesDep) -> dict[str, Any]:
    base = found.settings.api_url
    return {"versions": [_version(base, "2.0"), _version(base, "2.1")]}


@router.get("/v2")
@router.get("/v2.1")
async def one(request: Request, found: ServicesDep) -> dict[str, Any]:
    number = "2.1" if request.url.path.endswith("/v2.1") else "2.0"
    media = {"base": "application/json", "type": _MEDIA.format(number.removesuffix(".0"))}
    return {"version": _version(found.settings.api_url, number) | {"media-types": [media]}}
