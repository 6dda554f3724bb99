"""Everything that a server can leave behind, wherever it is kept: two of these are compared."""

import asyncio
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from infra.compute.fake import FakeDriver
from infra.db import images, quotas, volumes
from infra.db.statements import Lookup, run, table_of
from infra.db.tables.hosts import ClaimRow, HostRow
from infra.db.tables.image import ImageRow
from infra.db.tables.network import AddressRow, PortRow
from infra.db.tables.servers import DebtRow, ServerRow, UserDataRow
from infra.db.tables.volume import AttachmentRow, VolumeRow
from infra.domain.server import VmState
from tests.saga.world import FakeHost, Place, World


async def snapshot(world: World, place: Place) -> dict[str, Any]:
    """Of one project: its rows, and what hosts have of its servers."""
    found: dict[str, Any] = world.db.read_now(_rows, place)
    for name, host in world.hosts.items():
        # A real hypervisor and network block, and the latter must not be asked on a loop.
        fake = isinstance(host.driver, FakeDriver)
        found[name] = _on_host(host, place) if fake else await asyncio.to_thread(_on_host, host, place)
    found["volume data"] = sorted(set(world.volumes.volumes()) & set(found.pop("volume ids")))
    saved = set(found.pop("image ids"))
    found["image data"] = len(saved & set(await world.images.images()))
    found["open runs"] = await world.open_runs(place)
    return found


_PORTS = Lookup(PortRow, "project_id")
_ADDRESSES = Lookup(AddressRow, "port_id")
_VOLUMES = Lookup(VolumeRow, "project_id")
_ATTACHMENTS = Lookup(AttachmentRow, "volume_id")
_IMAGES = Lookup(ImageRow, "owner")
_CLAIMS = Lookup(ClaimRow, "server_id", order_by=("attempt",))
_DEBTS = Lookup(DebtRow, "server_id", order_by=("created_at",))
_USER_DATA = Lookup(UserDataRow, "server_id")
_SERVERS = Lookup(ServerRow, "project_id")


def _rows(session: Session, place: Place) -> dict[str, Any]:
    ports = _PORTS.all(session, place.project_id)
    own = [volume for volume in _VOLUMES.all(session, place.project_id) if volume.status != volumes.DELETED]
    attached = [a for volume in own for a in _ATTACHMENTS.all(session, volume.id)]
    saved = [image for image in _IMAGES.all(session, place.project_id) if image.status != images.DELETED]
    held = _CLAIMS.all(session, place.server_id)
    servers = _SERVERS.all(session, place.project_id)
    usage = quotas.usage(session, place.project_id)
    return {
        "claims": [(c.host, c.attempt, c.quarantined) for c in held],
        "devices": sum(len(c.pci) for c in held),
        "devices nobody has": _strays(session),
        "debts": [(d.host, d.attempt) for d in _DEBTS.all(session, place.server_id)],
        "usage": (usage.instances, usage.cores, usage.ram),
        "ports": sorted((port.host, port.device_id == place.server_id, port.status) for port in ports),
        "addresses": sum(len(_ADDRESSES.all(session, port.id)) for port in ports),
        "volumes": sorted((volume.id, volume.status) for volume in own),
        "attachments": sorted((a.host or "", a.status, a.server_id == place.server_id) for a in attached),
        "volume ids": [volume.id for volume in own],
        "images": sorted((image.status, image.size is not None) for image in saved),
        "image ids": [image.id for image in saved],
        "user data": _USER_DATA.first(session, place.server_id) is not None,
        "tasks": [s.task_state for s in servers if s.task_state and s.vm_state != VmState.DELETED],
    }


_HELD = select(table_of(ClaimRow).c["host", "pci"])
_USED = select(table_of(HostRow).c["name", "pci_used"])


def _strays(session: Session) -> list[str]:
    """Devices that hosts count as taken and no claim says so, or the other way round."""
    held = {(host, device["address"]) for host, devices in run(session, _HELD, {}) for device in devices or ()}
    taken = {(name, device["address"]) for name, devices in run(session, _USED, {}) for device in devices or ()}
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
