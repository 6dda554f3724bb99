"""Drift of every kind, planted on a host and in its rows: what should not be, what is missing, what is under way."""

import uuid
from typing import Any

from sqlmodel import Session, col, select

from infra.db import claims, debts, hosts, port_bindings, servers, volume_attachments
from infra.db.tables.hosts import HostRow
from infra.db.tables.network import PortRow
from infra.db.tables.servers import ServerRow
from infra.db.types import now
from infra.domain.host import Claim
from infra.domain.network import NetworkQuota, NewPort
from infra.domain.server import TaskState, VmState
from infra.domain.volume import VolumeAttachment
from tests.saga.world import IMAGE, Place, World

HOST = "a"


def other(place: Place, name: str) -> str:
    """The id of another server: ``ghost`` there is none of, ``off`` lost its guest, ``busy`` is being stopped, ``gone``
    left a debt."""
    return str(uuid.uuid5(uuid.UUID(place.server_id), name))


async def plant(world: World, place: Place) -> None:
    """A server that is as it should be, but for its image's reference, and all the rest beside it."""
    server = await world.active(place, block_device_mapping_v2=[])
    assert server.host == HOST
    host, ghost = world.hosts[HOST], other(place, "ghost")
    host.cache.release(IMAGE, place.server_id)
    host.cache.keep(IMAGE, ghost)
    guest = host.driver.guest(place.server_id).model_copy(update={"server_id": ghost, "attempt": 3})
    for server_id in (ghost, other(place, "gone")):
        host.driver.define(guest.model_copy(update={"server_id": server_id}))
        host.driver.start(server_id)
    files = host.directory / "instances" / ghost
    files.mkdir()
    (files / "disk.3").touch()
    port = next(port for port in host.network._ports.values() if port.server_id == place.server_id)
    for server_id in (ghost, place.server_id):
        stray = port.nic.model_copy(update={"port_id": str(uuid.uuid4())})
        host.network.plug(server_id, "stray", stray)
    host.network.devices.add("knbffffffff")
    world.db.write_now(_plant_rows, place, server)


def _plant_rows(session: Session, place: Place, server: servers.Server) -> None:
    ghost = other(place, "ghost")
    for name, task in (("off", None), ("busy", TaskState.POWERING_OFF)):
        values = {"id": other(place, name), "task_state": task, "op": task and "req-busy", "created_at": now()}
        servers.insert(session, server.model_copy(update=values))
        claims.claim(session, _claim(other(place, name), 1))
    claims.claim(session, _claim(ghost, 3))
    claims.claim(session, _claim(place.server_id, 9))
    debts.owe(session, debts.Debt(host=HOST, server_id=other(place, "gone"), attempt=3, what="planted"))
    new = NewPort(
        id=str(uuid.uuid4()), project_id=place.project_id, network_id=place.network_id, device_id=ghost, host=HOST
    )
    port_bindings.create(session, new, f"{ghost}/3/port/{new.id}", NetworkQuota())
    attachment = VolumeAttachment(
        id=str(uuid.uuid4()),
        volume_id=place.volume_id,
        server_id=ghost,
        host=HOST,
        device="/dev/vdb",
        attempt=3,
        attached_at=now(),
    )
    volume_attachments.attach(session, attachment, None)
    row = session.exec(select(HostRow).where(col(HostRow.name) == HOST)).one()
    row.vcpus_claimed += 5
    session.add(row)


def _claim(server_id: str, attempt: int) -> Claim:
    return Claim(server_id=server_id, host=HOST, attempt=attempt, vcpus=1, memory_mb=1, disk_gb=0)


def left(world: World, place: Place) -> dict[str, Any]:
    """What there is of the planted servers, and of the one that is as it should be."""
    host = world.hosts[HOST]
    names = {place.server_id: "web"} | {other(place, name): name for name in ("ghost", "off", "busy", "gone")}
    found: dict[str, Any] = world.db.read_now(_rows, names)
    found["guests"] = sorted(names[state.server_id] for state in host.driver.domains() if state.server_id in names)
    found["files"] = sorted(names[server_id] for server_id in host.host.files.servers() if server_id in names)
    plugged = host.network.plugged()
    found["plugged"] = sorted((names[server_id], len(ports)) for server_id, ports in plugged.items())
    found["images"] = sorted(names[server_id] for server_id in host.cache.users())
    found["leftovers"] = host.network.leftovers()
    return found


def _rows(session: Session, names: dict[str, str]) -> dict[str, Any]:
    held = claims.of_host(session, HOST)
    host = hosts.get(session, HOST)
    rows = session.exec(select(ServerRow).where(col(ServerRow.id).in_(names))).all()
    ports = session.exec(select(PortRow).where(col(PortRow.host) == HOST))
    return {
        "claims": sorted((names[claim.server_id], claim.attempt) for claim in held if claim.server_id in names),
        "counted": (host.vcpus_claimed, host.servers) == (sum(claim.vcpus for claim in held), len(held)),
        "debts": [names[debt.server_id] for debt in debts.owed(session, HOST)],
        "ports": sorted(names[port.device_id] for port in ports),
        "attachments": [names[one.server_id] for one in volume_attachments.all_of(session) if one.host == HOST],
        "states": {names[row.id]: (row.vm_state, row.task_state, row.power_state) for row in rows},
    }


MENDED: dict[str, Any] = {
    "claims": [("busy", 1), ("off", 1), ("web", 1)],
    "counted": True,
    "debts": [],
    "ports": ["web"],
    "attachments": [],
    "states": {
        "web": (VmState.ACTIVE, None, 1),
        "off": (VmState.STOPPED, None, 0),
        "busy": (VmState.ACTIVE, TaskState.POWERING_OFF, 1),
    },
    "guests": ["web"],
    "files": ["web"],
    "plugged": [("web", 1)],
    "images": ["off", "web"],
    "leftovers": [],
}


def forget(session: Session, place: Place) -> None:
    """The servers that there are rows of only."""
    for name in ("off", "busy"):
        claims.release_all(session, other(place, name))
        servers.set_deleted(session, other(place, name))
