"""``/os-hypervisors`` (Compute API reference, "Hypervisors")."""

from typing import Any

from fastapi import APIRouter, Request
from sqlmodel import Session, col

from api.auth import AdminDep
from api.compute.links import add_next
from api.compute.microversion import Version, versions
from api.compute.paging import flag, page
from api.compute.views import host as view
from api.deps import ServicesDep
from infra.db import hosts, server_details
from infra.db.tables.servers import ServerRow
from infra.domain.errors import BadRequest, NotFound
from infra.domain.host import Host
from infra.domain.server import VmState

router = APIRouter()


@router.get("/os-hypervisors")
async def list_brief(request: Request, context: AdminDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    return await _list(request, found, version, detailed=False)


@router.get("/os-hypervisors/detail")
async def list_detail(request: Request, context: AdminDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    return await _list(request, found, version, detailed=True)


@router.get("/os-hypervisors/statistics", dependencies=[versions(last=87)])
async def statistics(context: AdminDep, found: ServicesDep) -> dict[str, Any]:
    all_hosts = [host for host in await found.db.read(hosts.snapshot) if host.enabled]
    total: dict[str, int] = {"count": len(all_hosts)}
    for name in view.USAGE:
        total[name] = sum(view.usage(host)[name] for host in all_hosts)
    return {"hypervisor_statistics": total}


@router.get("/os-hypervisors/{hypervisor_id}")
async def show(
    hypervisor_id: str, request: Request, context: AdminDep, found: ServicesDep, version: Version
) -> dict[str, Any]:
    host = await _host(found, hypervisor_id, version)
    shown = view.hypervisor(host, version, found.settings)
    return {"hypervisor": await _with_servers(shown, host, request, found, version)}


@router.get("/os-hypervisors/{hypervisor_id}/uptime", dependencies=[versions(last=87)])
async def uptime(hypervisor_id: str, context: AdminDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    await _host(found, hypervisor_id, version)
    raise BadRequest("No driver tells the uptime of a hypervisor.")


@router.get("/os-hypervisors/{text}/search", dependencies=[versions(last=52)])
async def search(text: str, context: AdminDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    matching = _matching(await found.db.read(hosts.snapshot), text)
    return {"hypervisors": [view.hypervisor_brief(host, version, found.settings) for host in matching]}


@router.get("/os-hypervisors/{text}/servers", dependencies=[versions(last=52)])
async def servers_of(text: str, context: AdminDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    shown = []
    for host in _matching(await found.db.read(hosts.snapshot), text):
        on_it = await found.db.read(_servers, host.name)
        brief = view.hypervisor_brief(host, version, found.settings)
        shown.append(brief | {"servers": on_it} if on_it else brief)
    return {"hypervisors": shown}


async def _list(request: Request, found: ServicesDep, version: Version, *, detailed: bool) -> dict[str, Any]:
    query = request.query_params
    all_hosts = await found.db.read(hosts.snapshot)
    if version >= view.UUIDS and "hypervisor_hostname_pattern" in query:
        all_hosts = _matching(all_hosts, query["hypervisor_hostname_pattern"])
    if version >= 33:
        asked = page(query)
        ids = [str(view.host_id(host, version)) for host in all_hosts]
        if asked.marker is not None:
            if asked.marker not in ids:
                raise BadRequest(f"Marker {asked.marker} could not be found.")
            all_hosts = all_hosts[ids.index(asked.marker) + 1 :]
        all_hosts = all_hosts[: asked.limit]
    shape = view.hypervisor if detailed else view.hypervisor_brief
    shown = [
        await _with_servers(shape(host, version, found.settings), host, request, found, version) for host in all_hosts
    ]
    reply = {"hypervisors": shown}
    if version < 33:
        return reply
    path = "os-hypervisors/detail" if detailed else "os-hypervisors"
    return add_next(reply, "hypervisors", found.settings.api_url, path, query, shown)


def _matching(all_hosts: list[Host], text: str) -> list[Host]:
    matching = [host for host in all_hosts if text.lower() in host.name.lower()]
    if not matching:
        raise NotFound(f"No hypervisor matching '{text}' could be found.")
    return matching


async def _with_servers(
    shown: dict[str, Any], host: Host, request: Request, found: ServicesDep, version: Version
) -> dict[str, Any]:
    if version < view.UUIDS or not flag(request.query_params, "with_servers"):
        return shown
    on_it = await found.db.read(_servers, host.name)
    return shown | {"servers": on_it} if on_it or version >= 75 else shown


def _servers(session: Session, host: str) -> list[dict[str, str]]:
    where = (col(ServerRow.host) == host, col(ServerRow.vm_state) != VmState.DELETED)
    found = server_details.candidates(session, where, (col(ServerRow.created_at).asc(),))
    return [{"uuid": server.id, "name": server.name} for server in found]


async def _host(found: ServicesDep, id: str, version: int) -> Host:
    for host in await found.db.read(hosts.snapshot):
        if str(view.host_id(host, version)) == id:
            return host
    raise NotFound(f"Compute host {id} could not be found.")
