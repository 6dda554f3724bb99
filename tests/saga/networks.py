"""A host told that its networking changed: it knows what the rows say, at once or with its next report."""

import uuid
from typing import Any

import httpx
from sqlmodel import Session

from api import pokes
from infra.db import host_networks, network_changes, port_bindings, ports, security_group_rules, security_groups
from infra.db.types import now
from infra.domain.keys import port_key
from infra.domain.network import NetworkQuota, NewPort, SecurityGroupRule
from tests.saga.drifting import HOST
from tests.saga.scenarios import Scenario
from tests.saga.world import Place, World, until


async def bound_port(world: World, place: Place) -> None:
    """A port that the host has plugged, whose group has got a rule since."""
    await told_nothing_more(world)
    host = world.hosts[HOST]
    nic = world.db.write_now(_bind, place)
    host.network.plug(place.server_id, "web", nic)
    await host.host.upkeep.sync()
    world.db.write_now(_add_rule, place)


async def told_nothing_more(world: World) -> None:
    """What earlier servers left to tell was told."""
    waiting = world.services.pokes
    await until(lambda: not waiting._waiting and not waiting._running, 30, lambda: "hosts are still to be told")
    if f"host/{HOST}/network" in world.faults.begun:
        await world.handle(f"host/{HOST}/network").result()


def _bind(session: Session, place: Place) -> Any:
    new = NewPort(
        id=place.server_id,
        project_id=place.project_id,
        network_id=place.network_id,
        device_id=place.server_id,
        host=HOST,
    )
    key = port_key(place.server_id, 1, new.id)
    return port_bindings.nic(session, port_bindings.create(session, new, key, NetworkQuota()))


def _add_rule(session: Session, place: Place) -> None:
    moment = now()
    rule = SecurityGroupRule(
        id=str(uuid.uuid4()),
        project_id=place.project_id,
        security_group_id=security_groups.default_of(session, place.project_id),
        direction="ingress",
        protocol="tcp",
        port_range_min=22,
        port_range_max=22,
        created_at=moment,
        updated_at=moment,
    )
    security_group_rules.create(session, rule, NetworkQuota())


async def tell(world: World, place: Place) -> httpx.Response:
    synced = await (await pokes.tell(world.client, HOST)).result()
    return httpx.Response(200, json=synced.model_dump())


async def known(world: World, place: Place, before: dict[str, Any]) -> None:
    """What the host knows is what the rows say; after the port is gone, too."""
    host = world.hosts[HOST]
    wanted = world.db.read_now(host_networks.of_host, HOST)
    assert place.server_id in {port.id for port in wanted.ports}
    assert host.network.known.view() == wanted.model_copy(update={"change": 0})
    world.db.write_now(_forget, place)
    host.network.unplug(place.server_id, place.server_id)
    await tell(world, place)
    assert not host.network.knows(place.server_id)


async def known_by_its_report(world: World, place: Place, before: dict[str, Any]) -> None:
    await world.hosts[HOST].host.upkeep.report()
    await known(world, place, before)


def _forget(session: Session, place: Place) -> None:
    ports.delete(session, place.server_id)
    network_changes.mark(session, (HOST,))


SYNC = Scenario(
    name="sync-network",
    workflow="SyncHostNetwork",
    workflow_id=lambda place: f"host/{HOST}/network",
    prepare=bound_port,
    begin=tell,
    steps=("networks.sync",),
    done=known,
    undone=known_by_its_report,
    deletable=False,
    shielded=True,
    apart=True,
)

SCENARIOS = (SYNC,)
