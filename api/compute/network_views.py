"""What a server has of the Network Service: addresses and security groups.

Source: Compute API reference, "Servers IPs" and "Servers security groups".
"""

from typing import Any

from fastapi import APIRouter
from sqlmodel import Session

from api.compute.common import ReadableServer, surroundings_of
from api.compute.views.server import addresses
from api.deps import ServicesDep
from infra.db import ports, security_groups
from infra.db.network_rows import Selection
from infra.domain.errors import NotFound
from infra.domain.network import Port, SecurityGroup

router = APIRouter()


@router.get("/servers/{server_id}/ips")
async def all_addresses(server: ReadableServer, found: ServicesDep) -> dict[str, Any]:
    around = await found.db.read(surroundings_of, server)
    return {"addresses": addresses(around, extended=False)}


@router.get("/servers/{server_id}/ips/{network}")
async def addresses_on(network: str, server: ReadableServer, found: ServicesDep) -> dict[str, Any]:
    shown = addresses(await found.db.read(surroundings_of, server), extended=False)
    if network not in shown:
        raise NotFound("Instance is not a member of specified network")
    return {network: shown[network]}


@router.get("/servers/{server_id}/os-security-groups")
async def groups(server: ReadableServer, found: ServicesDep) -> dict[str, Any]:
    return {"security_groups": [_group(group) for group in await found.db.read(_groups, server.id)]}


def _ports(session: Session, server_id: str) -> list[Port]:
    return ports.of_devices(session, [server_id])[server_id]


def _groups(session: Session, server_id: str) -> list[SecurityGroup]:
    ids = {group for port in _ports(session, server_id) for group in port.security_group_ids}
    return security_groups.find(session, Selection(filters={"id": tuple(sorted(ids))})) if ids else []


def _group(group: SecurityGroup) -> dict[str, Any]:
    """The old form, which knows what comes in by IPv4 and IPv6 alike."""
    return {
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "tenant_id": group.project_id,
        "rules": [
            {
                "id": rule.id,
                "parent_group_id": group.id,
                "ip_protocol": rule.protocol,
                "from_port": rule.port_range_min,
                "to_port": rule.port_range_max,
                "group": {},
                "ip_range": {"cidr": rule.remote_ip_prefix} if rule.remote_ip_prefix else {},
            }
            for rule in group.rules
            if rule.direction == "ingress"
        ],
    }
