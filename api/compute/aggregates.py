"""``/os-aggregates`` (Compute API reference, "Host aggregates")."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field
from sqlmodel import Session

from api.auth import AdminDep
from api.compute.common import empty
from api.compute.links import micros
from api.compute.microversion import Version
from api.compute.wire import MetadataKey, Name, Text, Wire, body
from api.deps import ServicesDep
from infra.db import aggregates
from infra.domain.errors import BadRequest, NotFound
from infra.domain.host import Aggregate

router = APIRouter()
ZoneName = Annotated[Name, Field(pattern=r"^[^:/]+\z")]


class NewAggregate(Wire):
    name: Name
    availability_zone: ZoneName | None = None


class NewAggregateRequest(Wire):
    aggregate: NewAggregate


class AggregateChange(Wire):
    name: Name | None = None
    availability_zone: ZoneName | None = None


class AggregateChangeRequest(Wire):
    aggregate: AggregateChange


class HostOf(Wire):
    host: Annotated[str, Field(min_length=1, max_length=255)]


class MetadataOf(Wire):
    metadata: dict[MetadataKey, Text | None]


class AggregateAction(Wire):
    add_host: HostOf | None = None
    remove_host: HostOf | None = None
    set_metadata: MetadataOf | None = None


def _view(aggregate: Aggregate, version: int, *, members: bool = True) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": aggregate.id,
        "name": aggregate.name,
        "availability_zone": aggregate.availability_zone,
        "created_at": micros(aggregate.created_at),
        "updated_at": micros(aggregate.updated_at),
        "deleted_at": None,
        "deleted": False,
    }
    if members:
        shown |= {"hosts": list(aggregate.hosts), "metadata": aggregate.metadata}
    if version >= 41:
        shown["uuid"] = aggregate.uuid
    return shown


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise NotFound(f"Aggregate {text} could not be found.")
    return int(text)


@router.get("/os-aggregates")
async def list_all(context: AdminDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    return {"aggregates": [_view(entry, version) for entry in await found.db.read(aggregates.list_all)]}


@router.get("/os-aggregates/{aggregate_id}")
async def show(aggregate_id: str, context: AdminDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    return {"aggregate": _view(await found.db.read(aggregates.get, _id(aggregate_id)), version)}


@router.post("/os-aggregates")
async def create(
    context: AdminDep,
    wanted: Annotated[NewAggregateRequest, body(NewAggregateRequest)],
    found: ServicesDep,
    version: Version,
) -> dict[str, Any]:
    zone = wanted.aggregate.availability_zone
    metadata = {"availability_zone": zone} if zone else {}
    made = await found.db.write(aggregates.create, wanted.aggregate.name, metadata)
    return {"aggregate": _view(made, version, members=False)}


@router.put("/os-aggregates/{aggregate_id}")
async def update(
    aggregate_id: str,
    context: AdminDep,
    wanted: Annotated[AggregateChangeRequest, body(AggregateChangeRequest)],
    found: ServicesDep,
    version: Version,
) -> dict[str, Any]:
    changes = wanted.aggregate
    if not changes.model_fields_set or (changes.name is None and "name" in changes.model_fields_set):
        raise BadRequest("The body must hold a name or an availability_zone.")
    return {"aggregate": _view(await found.db.write(_update, _id(aggregate_id), changes), version)}


def _update(session: Session, id: int, changes: AggregateChange) -> Aggregate:
    changed = aggregates.get(session, id)
    if changes.name is not None:
        changed = aggregates.rename(session, id, changes.name)
    if "availability_zone" in changes.model_fields_set:
        changed = aggregates.set_metadata(session, id, {"availability_zone": changes.availability_zone})
    return changed


@router.delete("/os-aggregates/{aggregate_id}")
async def delete(aggregate_id: str, context: AdminDep, found: ServicesDep) -> Response:
    await found.db.write(aggregates.remove, _id(aggregate_id))
    return empty(200)


@router.post("/os-aggregates/{aggregate_id}/action")
async def act(
    aggregate_id: str,
    context: AdminDep,
    wanted: Annotated[AggregateAction, body(AggregateAction)],
    found: ServicesDep,
    version: Version,
) -> dict[str, Any]:
    id = _id(aggregate_id)
    if len(wanted.model_fields_set) != 1:
        raise BadRequest("The body must hold one action: add_host, remove_host or set_metadata.")
    if wanted.add_host is not None:
        changed = await found.db.write(aggregates.add_host, id, wanted.add_host.host)
    elif wanted.remove_host is not None:
        changed = await found.db.write(aggregates.remove_host, id, wanted.remove_host.host)
    elif wanted.set_metadata is not None:
        changed = await found.db.write(aggregates.set_metadata, id, wanted.set_metadata.metadata)
    else:
        raise BadRequest("The action must not be null.")
    return {"aggregate": _view(changed, version)}
