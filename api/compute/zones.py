"""``/os-availability-zone`` (Compute API reference, "Availability zones")."""

from typing import Any

from fastapi import APIRouter

from api.auth import AdminDep, ReaderDep
from api.compute.links import micros
from api.compute.views.host import BINARY, is_up
from api.deps import ServicesDep
from infra.db import hosts
from infra.domain.host import Host

router = APIRouter()


@router.get("/os-availability-zone")
async def list_zones(context: ReaderDep, found: ServicesDep) -> dict[str, Any]:
    placed = await found.db.read(hosts.snapshot)
    return {
        "availabilityZoneInfo": [
            {"zoneName": zone, "zoneState": {"available": any(h.enabled for h in members)}, "hosts": None}
            for zone, members in _by_zone(placed)
        ]
    }


@router.get("/os-availability-zone/detail")
async def list_zones_with_hosts(context: AdminDep, found: ServicesDep) -> dict[str, Any]:
    placed = await found.db.read(hosts.snapshot)
    shown = []
    for zone, members in _by_zone(placed):
        state = {
            host.name: {
                BINARY: {
                    "active": host.enabled,
                    "available": is_up(host, found.settings),
                    "updated_at": micros(host.reported_at),
                }
            }
            for host in members
        }
        shown.append({"zoneName": zone, "zoneState": {"available": any(h.enabled for h in members)}, "hosts": state})
    return {"availabilityZoneInfo": shown}


def _by_zone(placed: list[Host]) -> list[tuple[str, list[Host]]]:
    names = sorted({host.availability_zone for host in placed})
    return [(name, [host for host in placed if host.availability_zone == name]) for name in names]
