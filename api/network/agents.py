"""``/v2.0/agents``: on every compute host one worker does the networking; it is shown as that host's agent."""

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api.auth import AdminDep, ReaderDep
from api.deps import Services, ServicesDep
from api.network import policy, query
from infra.db import hosts
from infra.db.types import now
from infra.domain.errors import BadRequest, NotFound
from infra.domain.host import Host

router = APIRouter(prefix="/v2.0/agents")
_FILTERS = ("id", "host", "agent_type", "binary", "alive", "admin_state_up", "availability_zone", "topic")


@router.get("")
async def index(ctx: ReaderDep, found: ServicesDep, request: Request) -> Response:
    """Administrators see them all, others none."""
    wanted = [(name, value) for name, value in request.query_params.multi_items() if name != "fields"]
    for name, _ in wanted:
        if name not in _FILTERS:
            raise BadRequest(f"'{name[:64]}' is invalid attribute for filtering.", kind="HTTPBadRequest")
    shown = await found.db.read(hosts.snapshot) if policy.trusted(ctx) else []
    agents = [_agent(host, found) for host in shown]
    kept = [it for it in agents if all(str(it[name]).lower() == value.lower() for name, value in wanted)]
    return JSONResponse({"agents": [query.only(it, query.fields(request)) for it in kept]})


@router.get("/{agent_id}")
async def show(agent_id: str, ctx: AdminDep, found: ServicesDep) -> Response:
    for host in await found.db.read(hosts.snapshot):
        if host.id == agent_id:
            return JSONResponse({"agent": _agent(host, found)})
    raise NotFound(f"Agent {agent_id} could not be found.", kind="AgentNotFound")


def _agent(host: Host, services: Services) -> dict[str, Any]:
    silent = now() - host.reported_at > timedelta(seconds=services.settings.scheduler.host_down_seconds)
    return {
        "id": host.id,
        "agent_type": "Linux bridge agent",
        "binary": "kilonova-compute",
        "host": host.name,
        "topic": f"compute.{host.name}",
        "alive": not (silent or host.forced_down),
        "admin_state_up": host.enabled,
        "availability_zone": host.availability_zone,
        "description": None,
        "configurations": {"tunnel_types": ["vxlan"], "tunneling_ip": host.report.tunnel_ip},
        "created_at": f"{host.created_at:%Y-%m-%d %H:%M:%S}",
        "started_at": f"{host.created_at:%Y-%m-%d %H:%M:%S}",
        "heartbeat_timestamp": f"{host.reported_at:%Y-%m-%d %H:%M:%S}",
        "resources_synced": None,
    }
