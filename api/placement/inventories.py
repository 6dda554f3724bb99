"""``/resource_providers/{uuid}/inventories`` (Placement API reference, "Resource provider inventories").

How much there is of a class is the host's to say; on which terms it is given out, the operator's.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from api.deps import ServicesDep
from api.placement import views
from api.placement.body import body
from api.placement.microversion import Version
from api.placement.providers import get_host
from infra.db import inventories as rows
from infra.domain.errors import BadRequest, NotFound
from infra.domain.host import Host
from infra.domain.inventory import LARGEST, Terms

router = APIRouter(prefix="/resource_providers/{uuid}/inventories")
Unit = Annotated[int, Field(ge=1, le=LARGEST)]
_ALL_RESERVED, _DELETE_ALL = 26, 5


class Record(BaseModel):
    """What is left out has Placement's defaults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    total: Unit
    reserved: Annotated[int, Field(ge=0, le=LARGEST)] = 0
    min_unit: Unit = 1
    max_unit: Unit = LARGEST
    step_size: Unit = 1
    allocation_ratio: Annotated[float, Field(le=3.40282e38, allow_inf_nan=False)] = 1.0

    def terms(self, resource_class: str, version: int) -> Terms:
        """Raises BadRequest if no more than nothing is left to give out."""
        left = (self.total - self.reserved) * self.allocation_ratio
        if left < 0 or (left == 0 and version < _ALL_RESERVED):
            limit = "greater than" if version >= _ALL_RESERVED else "greater than or equal to"
            raise BadRequest(f"Invalid inventory for '{resource_class}'. The reserved value is {limit} total.")
        return Terms(**{name: getattr(self, name) for name in Record.model_fields})


class OneRecord(Record):
    resource_provider_generation: int


class Records(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    resource_provider_generation: int
    inventories: dict[Annotated[str, Field(pattern=r"^[A-Z0-9_]{1,255}$")], Record]


@router.get("")
async def listing(uuid: str, found: ServicesDep, version: Version) -> dict[str, Any]:
    return _shown(await get_host(found, uuid))


@router.put("")
async def replace(
    uuid: str, wanted: Annotated[Records, body(Records)], found: ServicesDep, version: Version
) -> dict[str, Any]:
    """All classes at once. Those that the host has can't be left out: osc-placement's ``--amend`` names them all."""
    host = await get_host(found, uuid)
    terms = {name: record.terms(name, version) for name, record in wanted.inventories.items()}
    return _shown(
        await found.db.write(rows.set_terms, host.name, wanted.resource_provider_generation, terms, every=True)
    )


@router.delete("")
async def forget(uuid: str, found: ServicesDep, version: Version) -> Response:
    """What the host reports comes back at once, on the host's own terms, as Nova's compute service does it."""
    if version < _DELETE_ALL:
        return Response(status_code=405)
    host = await get_host(found, uuid)
    await found.db.write(rows.forget_terms, host.name, tuple(host.inventories))
    return Response(status_code=204)


@router.get("/{resource_class}")
async def show(uuid: str, resource_class: str, found: ServicesDep, version: Version) -> dict[str, Any]:
    return _one(await get_host(found, uuid), resource_class)


@router.put("/{resource_class}")
async def update(
    uuid: str,
    resource_class: str,
    wanted: Annotated[OneRecord, body(OneRecord)],
    found: ServicesDep,
    version: Version,
) -> dict[str, Any]:
    host = await get_host(found, uuid)
    terms = {resource_class: wanted.terms(resource_class, version)}
    changed = await found.db.write(rows.set_terms, host.name, wanted.resource_provider_generation, terms)
    return _one(changed, resource_class)


@router.delete("/{resource_class}")
async def forget_one(uuid: str, resource_class: str, found: ServicesDep, version: Version) -> Response:
    host = await get_host(found, uuid)
    _one(host, resource_class)
    await found.db.write(rows.forget_terms, host.name, (resource_class,))
    return Response(status_code=204)


def _shown(host: Host) -> dict[str, Any]:
    return {"resource_provider_generation": host.generation, "inventories": views.inventories(host)}


def _one(host: Host, resource_class: str) -> dict[str, Any]:
    shown = views.inventories(host).get(resource_class)
    if shown is None:
        raise NotFound(f"No inventory of class {resource_class} for {host.id}")
    return {"resource_provider_generation": host.generation, **shown}
