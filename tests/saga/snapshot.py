"""Everything that a server can leave behind, wherever it is kept: two of these are compared."""

import asyncio
from typing import Any

from sqlmodel import Session, col, select

from infra.db import claims, debts, images, quotas, servers, volumes
from infra.db.tables.hosts import HostRow
from infra.db.tables.network import AddressRow, PortRow
from infra.db.tables.servers import UserDataRow
from infra.db.tables.volume import AttachmentRow
from tests.saga.world import FakeHost, Place, World


async def snapshot(world: World, place: Place) -> dict[str, Any]:
    """Of one project: its rows, and what hosts have of its servers."""
    found: dict[str, Any] = world.db.read_now(_rows, place)
    for name, host in world.hosts.items():
        # A real hypervisor and network block, and the latter must not be asked on a loop.
        found[name] = await asyncio.to_thread(_on_host, host, place)
    found["volume data"] = sorted(set(world.volumes.volumes()) & world.volumes_of(place.project_id))
    saved = set(found.pop("image ids"))
    found["image data"] = len(saved & set(await world.images.images()))
    found["open runs"] = await world.open_runs(place)
    return found


def _rows(session: Session, place: Place) -> dict[str, Any]:
    ports = list(session.exec(select(PortRow).where(col(PortRow.project_id) == place.project_id)))
    ids = [port.id for port in ports]
    addresses = list(session.exec(select(AddressRow).where(col(AddressRow.port_id).in_(ids))))
    own = volumes.all_of(session, place.project_id)
    attached = session.exec(select(AttachmentRow).where(col(AttachmentRow.volume_id).in_([v.id for v in own])))
    saved = [image for image in images.visible(session, place.project_id) if image.owner == place.project_id]
    usage = quotas.usage(session, place.project_id)
    return {
        "claims": [(c.host, c.attempt, c.quarantined) for c in claims.of_server(session, place.server_id)],
        "devices": sum(len(c.pci) for c in claims.of_server(session, place.server_id)),
        "devices nobody has": _strays(session),
        "debts": [(d.host, d.attempt) for d in debts.owed(session) if d.server_id == place.server_id],
        "usage": (usage.instances, usage.cores, usage.ram),
        "ports": sorted((port.host, port.device_id == place.server_id, port.status) for port in ports),
        "addresses": len(addresses),
        "volumes": sorted((volume.id, volume.status) for volume in own),
        "attachments": sorted((a.host or "", a.status, a.server_id == place.server_id) for a in attached),
        "images": sorted((image.status, image.size is not None) for image in saved),
        "image ids": [image.id for image in saved],
        "user data": session.get(UserDataRow, place.server_id) is not None,
        "tasks": [s.task_state for s in servers.list_servers(session, project_id=place.project_id) if s.task_state],
    }


def _strays(session: Session) -> list[str]:
    """Devices that hosts count as taken and no claim says so, or the other way round."""
    held = {(claim.host, device.address) for claim in claims.everywhere(session) for device in claim.pci}
    used = session.exec(select(col(HostRow.name), col(HostRow.pci_used)))
    taken = {(name, device["address"]) for name, devices in used for device in devices or ()}
    return sorted(f"{host} {address}" for host, address in held ^ taken)


def _on_host(host: FakeHost, place: Place) -> dict[str, Any]:
    folder = host.directory / "instances" / place.server_id
    files = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    domains = [state for state in host.driver.domains() if state.server_id == place.server_id]
    return {
        # A hypervisor writes the console beside the guest's other files, and it goes with them.
        "files": [name for name in files if name != "console.log" or len(files) == 1],
        "domains": sorted((state.attempt, state.power_state) for state in domains),
        "plugged": len(host.network.plugged().get(place.server_id, [])),
        "networks": sorted(device for device in host.network.devices if place.network_id[:8] in device),
        "leftovers": host.network.leftovers(),
        "images": sorted(one for one in host.cache.images() if place.server_id in host.cache.references(one)),
    }
