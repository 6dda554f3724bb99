"""Where routers are, what their hosts are told, and that these hear of every change."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from infra.db import (
    floating_ips,
    host_networks,
    host_routers,
    hosts,
    network_changes,
    ports,
    router_interfaces,
    routers,
    settlement,
    subnets,
)
from infra.db.engine import Database
from infra.db.network_rows import Selection
from infra.domain.host import HostReport, Inventory
from infra.domain.host_router import FloatingPair, HostRouter
from infra.domain.network import HostRoute
from infra.domain.router import GatewayWish
from tests.contract.test_networks_db import QUOTA, at_once, new_port
from tests.contract.test_routers_db import Routed


def enrol(db: Database, name: str) -> str:
    report = HostReport(
        name=name, inventory=Inventory(vcpus=8, memory_mb=8192, disk_gb=100), hypervisor_type="fake",
        hypervisor_version=7002000, accelerator="none",
    )  # fmt: skip
    db.write_now(hosts.enrol, report)
    db.write_now(hosts.set_ready, name, True)
    return name


@pytest.fixture
def routed(database: Database) -> Routed:
    enrol(database, "h1")
    enrol(database, "h2")
    return Routed(database)


def told(db: Database, host: str) -> tuple[HostRouter, ...]:
    return db.read_now(host_networks.of_host, host).routers


def place_of(routed: Routed) -> str:
    (host,) = {port.host for port in routed.db.read_now(ports.find, Selection(filters={"device_id": (routed.router,)}))}
    return host


def test_a_host_is_told_all_of_its_routers(routed: Routed) -> None:
    held = routed.floating(port_id=routed.port)
    route = HostRoute(destination="198.51.100.0/24", nexthop="10.0.0.9")
    routed.db.write_now(routers.update, routed.router, {"routes": (route,)})
    host = place_of(routed)
    (router,) = told(routed.db, host)
    assert told(routed.db, "h2" if host == "h1" else "h1") == ()
    assert router.id == routed.router
    assert [nic.addresses for nic in router.inside] == [("10.0.0.1/24",)]
    assert router.outside is not None
    assert router.outside.nic.network_id == routed.outside
    assert router.outside.nic.addresses[0].startswith("203.0.113.")
    assert router.outside.gateways == ("203.0.113.1/24",)
    fixed = routed.db.read_now(ports.get, routed.port).fixed_ips[0].ip_address
    assert router.floating == (FloatingPair(outside=held.floating_ip_address, inside=fixed),)
    assert (router.enable_snat, router.routes) == (True, (route,))
    routed.db.write_now(routers.update, routed.router, {"admin_state_up": False})
    assert told(routed.db, host) == ()


CHANGES: dict[str, Callable[[Routed], Any]] = {
    "an interface goes": lambda it: it.db.write_now(it.disconnect),
    "the gateway goes": lambda it: it.db.write_now(routers.update, it.router, {"gateway": None}),
    "SNAT ends": lambda it: it.db.write_now(
        routers.update, it.router, {"gateway": GatewayWish(network_id=it.outside, enable_snat=False)}
    ),
    "a floating IP comes": lambda it: it.floating(port_id=it.port),
    "the router is down": lambda it: it.db.write_now(routers.update, it.router, {"admin_state_up": False}),
    "the outside has no gateway any more": lambda it: it.db.write_now(
        subnets.update, it.outside_subnet, {"gateway_ip": None}
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_counted_for_the_host(routed: Routed, what: str) -> None:
    host = place_of(routed)
    before, known = routed.db.read_now(network_changes.number, host), told(routed.db, host)
    CHANGES[what](routed)
    assert told(routed.db, host) != known
    assert routed.db.read_now(network_changes.number, host) > before


@pytest.mark.parametrize("how", ["led nowhere", "deleted", "its port deleted"])
def test_a_floating_ip_that_goes_is_counted_for_the_host(routed: Routed, how: str) -> None:
    held, host = routed.floating(port_id=routed.port).id, place_of(routed)
    before = routed.db.read_now(network_changes.number, host)
    if how == "led nowhere":
        routed.db.write_now(floating_ips.update, held, {"port_id": None})
    elif how == "deleted":
        routed.db.write_now(floating_ips.delete, held)
    else:
        routed.db.write_now(ports.delete, routed.port)
    assert told(routed.db, host)[0].floating == ()
    assert routed.db.read_now(network_changes.number, host) > before


def test_the_host_of_a_guest_knows_its_floating_ip(routed: Routed) -> None:
    """Also where it is not the router's."""
    host = place_of(routed)
    other = "h2" if host == "h1" else "h1"
    routed.db.write_now(ports.update, routed.port, {"host": other})
    before = routed.db.read_now(network_changes.number, other)
    held = routed.floating(port_id=routed.port)
    assert routed.db.read_now(host_networks.of_host, other).public == {routed.port: held.floating_ip_address}
    between = routed.db.read_now(network_changes.number, other)
    routed.db.write_now(floating_ips.delete, held.id)
    assert routed.db.read_now(host_networks.of_host, other).public == {}
    assert before < between < routed.db.read_now(network_changes.number, other)


def test_routers_of_one_external_network_come_to_one_host(routed: Routed) -> None:
    made = at_once(*(lambda: routed.new_router(GatewayWish(network_id=routed.outside)) for _ in range(4)))
    host = place_of(routed)
    assert {router.id for router in told(routed.db, host)} == {routed.router, *made}


def test_a_router_leaves_a_host_that_an_operator_gave_up(routed: Routed) -> None:
    host = place_of(routed)
    other = "h2" if host == "h1" else "h1"
    before = routed.db.read_now(network_changes.number, other)
    routed.db.write_now(settlement.fence, host, True)
    assert [router.id for router in told(routed.db, other)] == [routed.router]
    assert told(routed.db, host) == ()
    assert routed.db.read_now(network_changes.number, other) > before


def test_a_router_waits_for_the_first_host(database: Database) -> None:
    made = Routed(database)
    assert place_of(made) == ""
    enrol(database, "h1")
    database.write_now(host_routers.place_waiting)
    assert [router.id for router in told(database, "h1")] == [made.router]


def test_guests_of_its_networks_draw_a_router(database: Database) -> None:
    for name in ("h1", "h2"):
        enrol(database, name)
    made = Routed(database)
    lone = made.new_router()
    network_id = database.read_now(ports.get, made.port).network_id
    new = new_port(network_id, device_id=str(uuid.uuid4()), host="h2")
    database.write_now(ports.create, new, QUOTA, bound_by=f"{new.device_id}/1/port")
    port = database.write_now(ports.create, new_port(network_id), QUOTA).id
    database.write_now(_join, lone, port)
    assert [router.id for router in told(database, "h2")] == [lone]


def _join(session: Any, router_id: str, port_id: str) -> None:
    router_interfaces.add_by_port(session, routers.row_of(session, router_id, lock=True), port_id)
