"""``/os-services``: the compute services, one a host (Compute API reference, "Compute services")."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field
from sqlmodel import Session

from api.auth import AdminDep
from api.compute.common import empty
from api.compute.microversion import Version, versions
from api.compute.views import host as view
from api.compute.wire import Boolean, Name, Wire, body
from api.deps import ServicesDep
from infra.db import debts, host_routers, hosts, settlement
from infra.domain.errors import BadRequest, NotFound
from infra.domain.host import Host

router = APIRouter()
_BEFORE_IDS = versions(last=52)
_WITH_IDS = versions(first=53)


class ServiceChange(Wire):
    status: Literal["enabled", "disabled"] | None = None
    disabled_reason: Name | None = None
    forced_down: Boolean | None = None


class NamedService(Wire):
    host: Annotated[str, Field(min_length=1, max_length=255)]
    binary: Annotated[str, Field(min_length=1, max_length=255)]
    disabled_reason: Name | None = None
    forced_down: Boolean | None = None


@router.get("/os-services")
async def list_all(request: Request, context: AdminDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    host, binary = request.query_params.get("host"), request.query_params.get("binary")
    all_hosts = await found.db.read(hosts.snapshot) if binary in (None, "", view.BINARY) else []
    owed = await found.db.read(debts.owed)
    return {
        "services": [
            view.service(one, version, found.settings, [debt for debt in owed if debt.host == one.name])
            for one in all_hosts
            if host in (None, "", one.name)
        ]
    }


@router.put("/os-services/enable", dependencies=[_BEFORE_IDS])
async def enable(
    context: AdminDep, wanted: Annotated[NamedService, body(NamedService)], found: ServicesDep
) -> dict[str, Any]:
    await found.db.write(hosts.enable, _compute(wanted))
    return {"service": {"host": wanted.host, "binary": wanted.binary, "status": "enabled"}}


@router.put("/os-services/disable", dependencies=[_BEFORE_IDS])
@router.put("/os-services/disable-log-reason", dependencies=[_BEFORE_IDS])
async def disable(
    request: Request, context: AdminDep, wanted: Annotated[NamedService, body(NamedService)], found: ServicesDep
) -> dict[str, Any]:
    with_reason = request.url.path.endswith("reason")
    if with_reason and wanted.disabled_reason is None:
        raise BadRequest("Missing disabled reason field")
    await found.db.write(hosts.disable, _compute(wanted), wanted.disabled_reason if with_reason else None)
    shown = {"host": wanted.host, "binary": wanted.binary, "status": "disabled"}
    return {"service": shown | {"disabled_reason": wanted.disabled_reason} if with_reason else shown}


@router.put("/os-services/force-down", dependencies=[versions(11, 52)])
async def force_down(
    context: AdminDep, wanted: Annotated[NamedService, body(NamedService)], found: ServicesDep
) -> dict[str, Any]:
    if wanted.forced_down is None:
        raise BadRequest("Missing forced_down field")
    await found.db.write(settlement.fence, _compute(wanted), wanted.forced_down)
    return {"service": {"host": wanted.host, "binary": wanted.binary, "forced_down": wanted.forced_down}}


@router.put("/os-services/{service_id}", dependencies=[_WITH_IDS])
async def change(
    service_id: str,
    context: AdminDep,
    wanted: Annotated[ServiceChange, body(ServiceChange)],
    found: ServicesDep,
    version: Version,
) -> dict[str, Any]:
    if wanted.status is None and wanted.forced_down is None:
        raise BadRequest("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    if wanted.disabled_reason is not None and wanted.status != "disabled":
        raise BadRequest("Specifying disabled_reason when status is not disabled is invalid.")
    host = await found.db.write(_change, service_id, wanted)
    return {"service": view.service(host, version, found.settings)}


@router.delete("/os-services/{service_id}", status_code=204)
async def delete(service_id: str, context: AdminDep, found: ServicesDep, version: Version) -> Response:
    """Forget a host that will not come back; one with servers is 409."""
    for host in await found.db.read(hosts.snapshot):
        if str(view.host_id(host, version)) == service_id:
            await found.db.write(_remove, host.name)
            return empty(204)
    raise NotFound(f"Service {service_id} not found.")


def _remove(session: Session, name: str) -> None:
    hosts.remove(session, name)
    host_routers.leave(session, name)


def _compute(wanted: NamedService) -> str:
    if wanted.binary != view.BINARY:
        raise NotFound(f"Service {wanted.binary} on host {wanted.host} could not be found.")
    return wanted.host


def _change(session: Session, service_id: str, wanted: ServiceChange) -> Host:
    name = hosts.get_by_id(session, service_id).name
    if wanted.status == "enabled":
        hosts.enable(session, name)
    elif wanted.status == "disabled":
        hosts.disable(session, name, wanted.disabled_reason)
    if wanted.forced_down is not None:
        settlement.fence(session, name, wanted.forced_down)
    return hosts.get(session, name)
