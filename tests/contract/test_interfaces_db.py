"""Interfaces that come to servers and leave them, in the database: who holds a port, and what late calls find."""

import threading
import uuid
from typing import Any

import pytest
from sqlmodel import Session, select

from infra.db import interfaces, networks, port_bindings, ports, servers, settlement, subnets
from infra.db.engine import Database
from infra.db.interfaces import InterfaceWish
from infra.db.tables.servers import ActionRow
from infra.db.types import now
from infra.domain.errors import Conflict, KilonovaError, NotFound
from infra.domain.keys import port_key
from infra.domain.network import AllocationPool, Network, NetworkQuota, NewPort, Subnet
from infra.domain.server import VmState
from tests.contract.servers_help import server


@pytest.fixture
def network_id(database: Database) -> str:
    moment, made = now(), str(uuid.uuid4())
    own = {"project_id": "p", "created_at": moment, "updated_at": moment}
    database.write_now(networks.create, Network(id=made, vni=0, **own), NetworkQuota())
    subnet = Subnet(
        id=str(uuid.uuid4()),
        network_id=made,
        cidr="10.0.0.0/24",
        gateway_ip="10.0.0.1",
        allocation_pools=(AllocationPool(start="10.0.0.2", end="10.0.0.254"),),
        **own,
    )
    database.write_now(subnets.create, subnet, NetworkQuota())
    return made


@pytest.fixture
def port_id(database: Database, network_id: str) -> str:
    new = NewPort(id=str(uuid.uuid4()), project_id="p", network_id=network_id)
    return database.write_now(ports.create, new, NetworkQuota()).id


def running(database: Database) -> str:
    made = server(now(), vm_state=VmState.ACTIVE, power_state=1, host="h1", attempt=1)
    database.write_now(servers.insert, made)
    return made.id


def begin(database: Database, server_id: str, port_id: str, op: str) -> interfaces.InterfaceChange:
    return database.write_now(
        lambda session: interfaces.begin(
            session,
            server_id,
            InterfaceWish(port_id=port_id),
            port_id=port_id,
            attachment_id=str(uuid.uuid5(uuid.UUID(server_id), op)),
            user_id="u",
            op=op,
        )
    )


def begin_detach(database: Database, server_id: str, port_id: str, op: str) -> interfaces.InterfaceChange:
    return database.write_now(lambda session: interfaces.begin_detach(session, server_id, port_id, user_id="u", op=op))


def bind(database: Database, change: interfaces.InterfaceChange) -> None:
    key = port_key(change.server_id, change.attempt, change.port_id, change.attachment_id)
    bound = {"device_id": change.server_id, "host": change.host}
    database.write_now(port_bindings.update, change.port_id, bound, key)


def unbind(database: Database, change: interfaces.InterfaceChange) -> None:
    key = port_key(change.server_id, change.attempt, change.port_id, change.attachment_id)
    database.write_now(port_bindings.update, change.port_id, {"device_id": ""}, key)


def named(database: Database, server_id: str) -> list[str]:
    return [entry.port_id for entry in database.read_now(servers.get, server_id).networks]


def actions(database: Database, server_id: str) -> dict[str, bool]:
    """Whether each is over, by request."""

    def rows(session: Session) -> dict[str, bool]:
        found = session.exec(select(ActionRow).where(ActionRow.server_id == server_id))
        return {row.request_id: row.finished_at is not None for row in found}

    return database.read_now(rows)


def test_a_port_comes_leaves_and_comes_again(database: Database, port_id: str) -> None:
    server_id = running(database)
    first = begin(database, server_id, port_id, "req-1")
    assert begin(database, server_id, port_id, "req-1") == first
    with pytest.raises(Conflict):
        begin(database, server_id, port_id, "req-2")
    with pytest.raises(NotFound):
        begin_detach(database, server_id, port_id, "req-2")
    bind(database, first)
    with pytest.raises(Conflict):
        begin_detach(database, server_id, port_id, "req-2")
    for _ in range(2):
        database.write_now(interfaces.complete, server_id, port_id, "req-1")
    assert database.read_now(ports.get, port_id).status == "ACTIVE"
    assert (named(database, server_id), actions(database, server_id)) == ([port_id], {"req-1": True})

    leaving = begin_detach(database, server_id, port_id, "req-3")
    assert begin_detach(database, server_id, port_id, "req-3") == leaving
    assert (leaving.attachment_id, leaving.created) == (first.attachment_id, False)
    unbind(database, leaving)
    for _ in range(2):
        database.write_now(interfaces.end, server_id, port_id, "req-3")
    assert (named(database, server_id), database.read_now(interfaces.of_server, server_id)) == ([], {})

    again = begin(database, server_id, port_id, "req-4")
    bind(database, again)
    database.write_now(interfaces.complete, server_id, port_id, "req-4")
    # What is late of the first attachment finds that it is over, and leaves the second alone.
    unbind(database, leaving)
    with pytest.raises(Conflict):
        bind(database, first)
    database.write_now(interfaces.withdraw, server_id, port_id, first.attachment_id)
    assert database.read_now(ports.get, port_id).device_id == server_id
    assert named(database, server_id) == [port_id]


def test_what_was_given_up_begins_no_more(database: Database, port_id: str) -> None:
    server_id = running(database)
    change = begin(database, server_id, port_id, "req-1")
    for _ in range(2):
        database.write_now(interfaces.withdraw, server_id, port_id, change.attachment_id)
    assert (named(database, server_id), database.read_now(interfaces.of_server, server_id)) == ([], {})
    with pytest.raises(Conflict):
        begin(database, server_id, port_id, "req-1")
    bind(database, begin(database, server_id, port_id, "req-2"))
    database.write_now(interfaces.complete, server_id, port_id, "req-2")
    begin_detach(database, server_id, port_id, "req-3")
    for _ in range(2):
        database.write_now(interfaces.roll_back_detach, server_id, port_id, "req-3")
    with pytest.raises(Conflict):
        begin_detach(database, server_id, port_id, "req-3")
    assert named(database, server_id) == [port_id]


def test_two_servers_that_ask_for_one_port_at_once(database: Database, port_id: str) -> None:
    asked, refused = [running(database) for _ in range(4)], []

    def ask(server_id: str) -> None:
        try:
            begin(database, server_id, port_id, "req")
        except KilonovaError as error:
            refused.append(error.code)

    threads = [threading.Thread(target=ask, args=(server_id,)) for server_id in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == [409, 409, 409]


def test_a_repair_takes_a_port_from_the_run_that_was_lost(database: Database, port_id: str) -> None:
    server_id = running(database)
    change = begin(database, server_id, port_id, "req-1")
    (held,) = database.read_now(interfaces.held, now())
    assert held.workflow_id == f"server/{server_id}/interface/{port_id}"

    def take(op: str, seen: str) -> Any:
        return database.write_now(interfaces.take, server_id, port_id, seen, op, "It was lost.")

    assert take("repair", "another") is None
    assert [take("repair", "req-1").op for _ in range(2)] == ["repair", "repair"]
    # The lost run can end nothing any more, nor begin.
    database.write_now(interfaces.complete, server_id, port_id, "req-1")
    assert port_id in database.read_now(interfaces.of_server, server_id)
    with pytest.raises(Conflict):
        begin(database, server_id, port_id, "req-1")
    database.write_now(interfaces.end, server_id, port_id, "repair")
    assert named(database, server_id) == []
    assert change.port_id not in database.read_now(interfaces.of_server, server_id)


def test_nothing_of_it_is_left_of_a_server_that_is_over(database: Database, port_id: str) -> None:
    server_id = running(database)
    bind(database, begin(database, server_id, port_id, "req-1"))
    database.write_now(settlement.release_all, server_id)
    assert database.read_now(interfaces.of_server, server_id) == {}
    # The user's own stays.
    assert database.read_now(ports.get, port_id).device_id == ""
