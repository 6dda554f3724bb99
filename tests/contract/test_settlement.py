"""What a server still had is given back when its host has removed it, is fenced, or never had it, on both databases."""

import uuid
from typing import Any

import pytest
from sqlmodel import Session, col, select

from infra.db import (
    claims,
    debts,
    hosts,
    networks,
    port_bindings,
    servers,
    settlement,
    subnets,
    volume_attachments,
    volumes,
)
from infra.db.engine import Database
from infra.db.tables.network import AddressRow, PortRow
from infra.db.types import now
from infra.domain.errors import Conflict
from infra.domain.network import AllocationPool, Network, NetworkQuota, NewPort, Subnet
from infra.domain.server import BlockDevice, RequestedNetwork, TaskState, VmState
from infra.domain.volume import Volume, VolumeAttachment
from tests.contract.hosts_help import add, check_sums, claim
from tests.contract.servers_help import server

QUOTA = {"volumes": 10, "gigabytes": 100, "snapshots": 10}
MADE, OWN = str(uuid.uuid4()), str(uuid.uuid4())


def _furnish(session: Session, host: str) -> str:
    """A server that is being built on a host: a port that was made for it and one of its user's, a volume of its own
    and one that was there."""
    moment, server_id, network_id = now(), str(uuid.uuid4()), str(uuid.uuid4())
    network = Network(id=network_id, project_id="p", name="net", vni=0, created_at=moment, updated_at=moment)
    networks.create(session, network, NetworkQuota())
    subnet = Subnet(
        id=str(uuid.uuid4()),
        project_id="p",
        network_id=network_id,
        cidr="10.0.0.0/24",
        gateway_ip="10.0.0.1",
        enable_dhcp=False,
        allocation_pools=(AllocationPool(start="10.0.0.2", end="10.0.0.254"),),
        created_at=moment,
        updated_at=moment,
    )
    subnets.create(session, subnet, NetworkQuota())
    made, there = str(uuid.uuid4()), str(uuid.uuid4())
    booted = server(
        moment,
        id=server_id,
        vm_state=VmState.BUILDING,
        task_state=TaskState.SPAWNING,
        op="req-1",
        host=host,
        attempt=1,
        networks=(
            RequestedNetwork(network_id=network_id, port_id=MADE),
            RequestedNetwork(network_id=network_id, port_id=OWN, created=False),
        ),
        block_devices=(BlockDevice(volume_id=made, source_type="blank", created=True), BlockDevice(volume_id=there)),
    )
    servers.insert(session, booted)
    claims.claim(session, claim(server_id, host))
    for port_id in (MADE, OWN):
        new = NewPort(id=port_id, project_id="p", network_id=network_id, device_id=server_id, host=host)
        port_bindings.create(session, new, f"{server_id}/1/port/{port_id}", NetworkQuota())
    for volume_id in (made, there):
        values: dict[str, Any] = {"project_id": "p", "user_id": "u", "size_gb": 1, "created_at": moment}
        volumes.create(session, Volume(id=volume_id, status="available", **values), QUOTA)
        where: dict[str, Any] = {"host": host, "device": None, "attempt": 1, "attached_at": moment}
        attachment = VolumeAttachment(id=str(uuid.uuid4()), volume_id=volume_id, server_id=server_id, **where)
        volume_attachments.attach(session, attachment, "p")
    return server_id


def _left(session: Session) -> dict[str, Any]:
    """Claims (quarantined or not), ports by device, addresses, statuses of volumes."""
    ports = session.exec(select(PortRow)).all()
    return {
        "claims": [one.quarantined for one in claims.everywhere(session)],
        "ports": sorted((port.id == OWN, port.host) for port in ports),
        "addresses": len(session.exec(select(AddressRow).where(col(AddressRow.port_id).in_([MADE, OWN]))).all()),
        "volumes": sorted(volume.status for volume in volumes.all_of(session)),
    }


HELD = {"claims": [True], "ports": [(False, "a"), (True, "a")], "addresses": 2, "volumes": ["in-use", "in-use"]}
FREE = {"claims": [], "ports": [(True, "")], "addresses": 1, "volumes": ["available", "available"]}


def test_what_a_host_owes_is_kept_until_it_is_fenced(database: Database) -> None:
    add(database, "a")
    server_id = database.write_now(_furnish, "a")
    database.write_now(settlement.owe, debts.Debt(host="a", server_id=server_id, attempt=1, what="w"))
    assert database.read_now(_left) == HELD
    database.write_now(settlement.fence, "a", False)
    assert database.read_now(_left) == HELD
    database.write_now(settlement.fence, "a", True)
    assert database.read_now(_left) == FREE
    assert [debt.server_id for debt in database.read_now(debts.owed, "a")] == [server_id]
    check_sums(database)


def test_what_a_fenced_host_comes_to_owe_is_given_back_at_once(database: Database) -> None:
    add(database, "a")
    server_id = database.write_now(_furnish, "a")
    database.write_now(settlement.fence, "a", True)
    assert database.read_now(_left) == HELD | {"claims": [False]}
    database.write_now(settlement.owe, debts.Debt(host="a", server_id=server_id, attempt=1, what="w"))
    assert database.read_now(_left) == FREE
    assert len(database.read_now(debts.owed, "a")) == 1
    database.write_now(settlement.settle, "a", server_id, 1)
    assert database.read_now(debts.owed, "a") == []


def test_a_host_is_removed_with_what_it_owes_when_it_is_fenced(database: Database) -> None:
    add(database, "a")
    server_id = database.write_now(_furnish, "a")
    database.write_now(settlement.owe, debts.Debt(host="a", server_id=server_id, attempt=1, what="w"))
    with pytest.raises(Conflict):
        database.write_now(hosts.remove, "a")
    database.write_now(settlement.fence, "a", True)
    database.write_now(hosts.remove, "a")
    assert database.read_now(debts.owed) == []


def test_a_server_that_is_over_leaves_nothing_but_what_a_host_owes(database: Database) -> None:
    add(database, "a", "b")
    server_id = database.write_now(_furnish, "a")
    database.write_now(settlement.owe, debts.Debt(host="a", server_id=server_id, attempt=1, what="w"))
    database.write_now(settlement.release_all, server_id)
    assert database.read_now(_left) == HELD
    database.write_now(debts.pay, "a", server_id, 1)
    database.write_now(settlement.release_all, server_id)
    # The claim is the debt's, which nobody paid in truth; the volume that the boot had made goes with it.
    assert database.read_now(_left) == FREE | {"claims": [True], "volumes": ["available", "deleting"]}
