"""``/os-simple-tenant-usage``: what the servers of projects have used in a period (Compute API reference, "Usage
reports")."""

from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import QueryParams

from api.auth import AdminDep, ReaderDep
from api.compute.links import micros, next_page
from api.compute.microversion import Version
from api.compute.paging import MAX_LIMIT, page
from api.deps import ServicesDep
from infra.db import usages
from infra.db.types import now
from infra.domain.errors import BadRequest, Forbidden
from infra.domain.usage import ServerUsage, usage_of

router = APIRouter()
_PAGES = 40
"""From 2.40 on reports come in pages, counted by servers."""
_YES = ("1", "True", "true")
"""The API has 1 only; the openstack client sends True, and counts the servers that it expects then."""
_FORMS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f")
_TOTALS = ("total_vcpus_usage", "total_memory_mb_usage", "total_local_gb_usage")
Period = tuple[datetime, datetime]


@router.get("/os-simple-tenant-usage")
async def list_all(request: Request, context: AdminDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    period, query = _period(request.query_params), request.query_params
    used = await _used(found, period, query, version)
    detailed = query.get("detailed") in _YES
    by_project = groupby(used, lambda usage: usage.server.project_id)
    reply = {"tenant_usages": [_report(project, list(each), period, detailed) for project, each in by_project]}
    return reply | _links("tenant_usages_links", found, "os-simple-tenant-usage", query, used, version)


@router.get("/os-simple-tenant-usage/{project_id}")
async def show(
    project_id: str, request: Request, context: ReaderDep, found: ServicesDep, version: Version
) -> dict[str, Any]:
    if not context.sees(project_id):
        raise Forbidden("Policy doesn't allow os_compute_api:os-simple-tenant-usage:show to be performed.")
    period, query = _period(request.query_params), request.query_params
    used = await _used(found, period, query, version, project_id)
    reply = {"tenant_usage": _report(project_id, used, period, True) if used else {}}
    return reply | _links("tenant_usage_links", found, f"os-simple-tenant-usage/{project_id}", query, used, version)


async def _used(
    found: ServicesDep, period: Period, query: QueryParams, version: int, project_id: str | None = None
) -> list[ServerUsage]:
    asked = page(query) if version >= _PAGES else None
    ran = await found.db.read(
        usages.running_between,
        *period,
        project_id=project_id,
        marker=asked.marker if asked else None,
        limit=asked.limit if asked else None,
    )
    moment = now()
    return [usage for server in ran if (usage := usage_of(server, *period, moment)) is not None]


def _period(query: QueryParams) -> Period:
    """Raises BadRequest for a time of another form, or an end before the beginning."""
    start, stop = (_time(query, name) for name in ("start", "end"))
    if start > stop:
        raise BadRequest("Invalid start time. The start time cannot occur after the end time.")
    return start, stop


def _time(query: QueryParams, name: str) -> datetime:
    text = query.get(name)
    if text is None:
        return now()
    for form in _FORMS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise BadRequest("Datetime is in invalid format")


def _report(project_id: str, used: list[ServerUsage], period: Period, detailed: bool) -> dict[str, Any]:
    sums = [sum(amounts) for amounts in zip(*(usage.totals for usage in used), strict=True)]
    report: dict[str, Any] = {
        "tenant_id": project_id,
        "start": micros(period[0]),
        "stop": micros(period[1]),
        "total_hours": sum(usage.hours for usage in used),
        **dict(zip(_TOTALS, sums, strict=True)),
    }
    return report | {"server_usages": [_entry(usage) for usage in used]} if detailed else report


def _entry(usage: ServerUsage) -> dict[str, Any]:
    server = usage.server
    return {
        "instance_id": server.id,
        "name": server.name,
        "tenant_id": server.project_id,
        "flavor": server.flavor.name,
        "vcpus": server.flavor.vcpus,
        "memory_mb": server.flavor.ram_mb,
        "local_gb": server.flavor.disk_gb + server.flavor.ephemeral_gb,
        "started_at": micros(usage.started_at),
        "ended_at": micros(usage.ended_at),
        "state": "terminated" if usage.ended_at else server.vm_state,
        "hours": usage.hours,
        "uptime": usage.uptime_seconds,
    }


def _links(
    name: str, found: ServicesDep, path: str, query: QueryParams, used: list[ServerUsage], version: int
) -> dict[str, Any]:
    """To the next page, where this one is full."""
    if version < _PAGES or not used or len(used) < min(page(query).limit, MAX_LIMIT):
        return {}
    return {name: next_page(found.settings.api_url, path, query, used[-1].server.id)}
