"""What the service offers: availability zones, volume types, services, extensions (Block Storage API v3)."""

import uuid
from typing import Any

from fastapi import Body, FastAPI, Response
from sqlmodel import Session

from api.volume.schemas import MetaBody, MetadataBody, NewType, TypeChange
from api.volume.views import HOST, type_view
from api.volume.volumes import ZONE
from api.volume.wire import AdminCall, Call, ReadCall, check, timestamp
from infra.db import volume_types
from infra.db.types import now
from infra.domain.errors import BadRequest, NotFound
from infra.domain.volume import DEFAULT_TYPE, VolumeType

EXTENSIONS = {
    "os-availability-zone": "AvailabilityZones",
    "os-hosts": "Hosts",
    "os-quota-sets": "Quotas",
    "os-services": "Services",
    "os-types-extra-specs": "TypesExtraSpecs",
    "os-types-manage": "TypesManage",
    "os-volume-actions": "VolumeActions",
    "os-extended-snapshot-attributes": "ExtendedSnapshotAttributes",
    "os-vol-tenant-attr": "VolumeTenantAttribute",
    "os-vol-image-meta": "VolumeImageMetadata",
}


def add_to(app: FastAPI) -> None:
    _offers(app)
    _types(app)
    _extra_specs(app)


def _offers(app: FastAPI) -> None:
    @app.get("/v3/os-availability-zone")
    async def zones(call: ReadCall) -> dict[str, Any]:
        return {"availabilityZoneInfo": [{"zoneName": ZONE, "zoneState": {"available": True}}]}

    @app.get("/v3/extensions")
    async def extensions(call: ReadCall) -> dict[str, Any]:
        return {"extensions": [_extension(alias, name) for alias, name in EXTENSIONS.items()]}

    @app.get("/v3/os-hosts")
    async def hosts(call: AdminCall) -> dict[str, Any]:
        host = {
            "host_name": HOST.partition("#")[0],
            "service": "cinder-volume",
            "zone": ZONE,
            "service-status": "available",
            "service-state": "enabled",
            "last-update": timestamp(now()),
        }
        return {"hosts": [host]}

    @app.get("/v3/os-services")
    async def services(call: AdminCall) -> dict[str, Any]:
        service = {
            "binary": "cinder-volume",
            "host": HOST.partition("#")[0],
            "zone": ZONE,
            "status": "enabled",
            "state": "up",
            "updated_at": timestamp(now()),
        }
        return {"services": [service]}


def _extension(alias: str, name: str) -> dict[str, Any]:
    return {"alias": alias, "name": name, "description": name, "links": [], "updated": "2024-03-25T00:00:00+00:00"}


def _types(app: FastAPI) -> None:
    @app.get("/v3/types")
    async def list_types(call: ReadCall) -> dict[str, Any]:
        found = await call.services.db.read(volume_types.all_of)
        return {"volume_types": [type_view(one) for one in found if one.is_public or call.context.is_admin]}

    @app.get("/v3/types/{type_id}")
    async def show(type_id: str, call: ReadCall) -> dict[str, Any]:
        if type_id == "default":
            return {"volume_type": type_view(DEFAULT_TYPE)}
        return {"volume_type": type_view(await call.services.db.read(_get, call, type_id))}

    @app.post("/v3/types")
    async def create(call: AdminCall, body: Any = Body()) -> dict[str, Any]:
        new = check(NewType, body, "volume_type")
        made = VolumeType(id=str(uuid.uuid4()), **new.model_dump())
        return {"volume_type": type_view(await call.services.db.write(volume_types.create, made))}

    @app.put("/v3/types/{type_id}")
    async def update(type_id: str, call: AdminCall, body: Any = Body()) -> dict[str, Any]:
        sent = check(TypeChange, body, "volume_type").model_dump(exclude_none=True)
        changed = await call.services.db.write(_change, type_id, sent)
        view = type_view(changed)
        del view["os-volume-type-access:is_public"]
        return {"volume_type": view}

    @app.delete("/v3/types/{type_id}", status_code=202)
    async def delete(type_id: str, call: AdminCall) -> Response:
        await call.services.db.write(volume_types.delete, type_id)
        return Response(status_code=202)


def _extra_specs(app: FastAPI) -> None:
    path = "/v3/types/{type_id}/extra_specs"

    @app.get(path)
    async def list_specs(type_id: str, call: ReadCall) -> dict[str, Any]:
        return {"extra_specs": (await call.services.db.read(_get, call, type_id)).extra_specs}

    @app.post(path)
    async def add(type_id: str, call: AdminCall, body: Any = Body()) -> dict[str, Any]:
        sent = check(MetadataBody, {"metadata": body.get("extra_specs") if isinstance(body, dict) else None}).metadata
        await call.services.db.write(_specs, type_id, sent, None)
        return {"extra_specs": sent}

    @app.get(path + "/{key}")
    async def show(type_id: str, key: str, call: ReadCall) -> dict[str, Any]:
        specs = (await call.services.db.read(_get, call, type_id)).extra_specs
        if key not in specs:
            raise NotFound("There is no such extra spec.")
        return {key: specs[key]}

    @app.put(path + "/{key}")
    async def put(type_id: str, key: str, call: AdminCall, body: Any = Body()) -> dict[str, Any]:
        sent = check(MetaBody, {"meta": body}).meta
        if key not in sent:
            raise BadRequest("Request body and URI mismatch")
        await call.services.db.write(_specs, type_id, sent, None)
        return dict(sent)

    @app.delete(path + "/{key}", status_code=202)
    async def delete(type_id: str, key: str, call: AdminCall) -> Response:
        await call.services.db.write(_specs, type_id, {}, key)
        return Response(status_code=202)


def _get(session: Session, call: Call, type_id: str) -> VolumeType:
    found = volume_types.get(session, type_id)
    if found.id != type_id or not (found.is_public or call.context.is_admin):
        raise NotFound(f"Volume type {type_id} could not be found.")
    return found


def _change(session: Session, type_id: str, changes: dict[str, Any]) -> VolumeType:
    if not changes:
        raise BadRequest("Specify volume type name, description, is_public or a combination thereof.")
    return volume_types.update(session, volume_types.get(session, type_id).model_copy(update=changes))


def _specs(session: Session, type_id: str, added: dict[str, str], removed: str | None) -> None:
    found = volume_types.get(session, type_id)
    specs = {**found.extra_specs, **added}
    if removed is not None and specs.pop(removed, None) is None:
        raise NotFound("There is no such extra spec.")
    volume_types.update(session, found.model_copy(update={"extra_specs": specs}))
