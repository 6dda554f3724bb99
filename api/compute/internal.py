"""What compute hosts ask of the control plane, with their service token: hosts have no database access.

Every call is one transaction and starts no workflow, so that no activity waits for another.
"""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from api.auth import ServiceDep
from api.deps import ServicesDep
from infra.db import debts, host_networks, host_routers, hosts, moves, network_changes, servers, settlement
from infra.domain.errors import NotFound
from infra.domain.host import HostReport
from infra.temporal.sealed import Sealed

router = APIRouter(prefix="/internal")


class Report(BaseModel):
    """A host's report; ``power_states`` of its guests by server id, numbered as in the compute API."""

    model_config = ConfigDict(extra="forbid")

    report: HostReport
    power_states: dict[str, int] = {}


@router.put("/hosts/{name}")
async def enrol(name: str, body: Report, context: ServiceDep, services: ServicesDep) -> dict[str, Any]:
    """A worker starts: the host is known, and not ready until it says so."""
    host = await services.db.write(hosts.enrol, body.report)
    await services.db.write(hosts.set_ready, name, False)
    return {"id": host.id}


@router.post("/hosts/{name}/report")
async def report(name: str, body: Report, context: ServiceDep, services: ServicesDep) -> dict[str, Any]:
    """The host is alive; answers whether it is ready, how many debts it has, where its networks' tunnels lead, and how
    often its networking was changed."""
    is_ready = await services.db.write(hosts.report, body.report)
    if body.power_states:
        await services.db.write(settlement.power_states, name, body.power_states)
    owed = await services.db.read(debts.owed, name)
    return {
        "ready": is_ready,
        "debts": len(owed),
        "peers": await services.db.read(settlement.peers, name),
        "network": await services.db.read(network_changes.number, name),
    }


@router.put("/hosts/{name}/ready", status_code=204)
async def ready(name: str, context: ServiceDep, services: ServicesDep) -> None:
    await services.db.write(hosts.set_ready, name, True)
    await services.db.write(host_routers.place_waiting)


@router.get("/hosts/{name}/servers")
async def expected(name: str, context: ServiceDep, services: ServicesDep) -> dict[str, Any]:
    """The servers that should be on this host, and those being made there."""
    found = await services.db.read(settlement.expected, name)
    return {"servers": [entry.model_dump() for entry in found]}


@router.get("/hosts/{name}/network")
async def network(name: str, context: ServiceDep, services: ServicesDep) -> dict[str, Any]:
    """What the host's networking should be: ``infra.domain.host_network.HostNetwork``."""
    return (await services.db.read(host_networks.of_host, name)).model_dump(mode="json")


@router.get("/hosts/{name}/debts")
async def owed(name: str, context: ServiceDep, services: ServicesDep) -> dict[str, Any]:
    return {"debts": await services.db.read(settlement.owed, name)}


@router.delete("/hosts/{name}/debts/{server_id}/{attempt}", status_code=204)
async def pay(name: str, server_id: str, attempt: int, context: ServiceDep, services: ServicesDep) -> None:
    """The host has removed everything of this attempt."""
    await services.db.write(settlement.settle, name, server_id, attempt)


@router.get("/servers/{server_id}/user-data")
async def user_data(server_id: str, context: ServiceDep, services: ServicesDep) -> dict[str, str]:
    """The server's user data, base64 as the user sent it."""
    server = await services.db.read(servers.get, server_id)
    sealed = await services.db.read(moves.user_data, server)
    if sealed is None:
        raise NotFound(f"Instance {server_id} has no user data.")
    # Servers of one request share what was sealed once, to the id of the first.
    owner = sealed.get("owner") or server.id
    return {"user_data": services.sealer.open(Sealed.model_validate(sealed), server_id=owner, field="user_data")}
