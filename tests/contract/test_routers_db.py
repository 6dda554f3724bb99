"""Routers and floating IPs when several requests come at once: what the database must decide."""

import uuid
from typing import Any

import pytest
from sqlmodel import Session

from infra.db import floating_ips, ports, router_interfaces, routers
from infra.db.engine import Database
from infra.db.network_rows import Selection
from infra.db.types import now
from infra.domain.errors import KilonovaError
from infra.domain.network import NetworkQuota
from infra.domain.router import FloatingIp, GatewayWish, Router
from tests.contract.test_networks_db import PROJECT, QUOTA, THREADS, at_once, network, new_port, subnet


class Routed:
    """A port behind a router to an external network."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.outside = network(db, external=True).id
        self.outside_subnet = subnet(db, self.outside, "203.0.113.0/24", enable_dhcp=False).id
        inside = network(db).id
        self.subnet = subnet(db, inside, "10.0.0.0/24").id
        self.router = self.new_router(GatewayWish(network_id=self.outside))
        db.write_now(self.connect)
        self.port = db.write_now(ports.create, new_port(inside), QUOTA).id

    def new_router(self, gateway: GatewayWish | None = None) -> str:
        new = Router(id=str(uuid.uuid4()), project_id=PROJECT, created_at=now(), updated_at=now())
        return self.db.write_now(routers.create, new, gateway, QUOTA).id

    def connect(self, session: Session) -> None:
        router_interfaces.add_by_subnet(
            session, routers.row_of(session, self.router, lock=True), self.subnet, NetworkQuota()
        )

    def disconnect(self, session: Session) -> None:
        router_interfaces.remove(session, routers.row_of(session, self.router, lock=True), None, self.subnet)

    def floating(self, **values: Any) -> FloatingIp:
        new = FloatingIp(
            id=str(uuid.uuid4()), project_id=PROJECT, floating_network_id=self.outside, floating_ip_address="",
            created_at=now(), updated_at=now(), **values,
        )  # fmt: skip
        return self.db.write_now(floating_ips.create, new, QUOTA)


@pytest.fixture
def routed(database: Database) -> Routed:
    return Routed(database)


def test_one_fixed_address_gets_one_floating_ip(routed: Routed) -> None:
    held = [routed.floating().id for _ in range(THREADS)]
    results = at_once(
        *(
            lambda one=one: routed.db.write_now(floating_ips.update, one, {"port_id": routed.port})  # type: ignore[misc]
            for one in held
        )
    )
    kinds = sorted(it.kind for it in results if isinstance(it, KilonovaError))
    assert kinds == ["FloatingIPPortAlreadyAssociated"] * (THREADS - 1)


@pytest.mark.parametrize("round", range(4))
def test_an_interface_stays_while_a_floating_ip_leads_through_it(routed: Routed, round: int) -> None:
    held = routed.floating().id
    at_once(
        lambda: routed.db.write_now(routed.disconnect),
        lambda: routed.db.write_now(floating_ips.update, held, {"port_id": routed.port}),
    )
    leads = routed.db.read_now(floating_ips.get, held).router_id is not None
    assert leads == bool(routed.db.read_now(router_interfaces.ports_of, routed.router))


@pytest.mark.parametrize("round", range(4))
def test_a_port_that_goes_takes_no_floating_ip_with_it(routed: Routed, round: int) -> None:
    held = routed.floating().id
    at_once(
        lambda: routed.db.write_now(ports.delete, routed.port),
        lambda: routed.db.write_now(floating_ips.update, held, {"port_id": routed.port}),
    )
    left = routed.db.read_now(floating_ips.get, held)
    assert (left.port_id, left.fixed_ip_address, left.router_id, left.status) == (None, None, None, "DOWN")


def test_one_router_takes_a_gateway_address(routed: Routed) -> None:
    others = [routed.new_router() for _ in range(THREADS)]
    routed.db.write_now(routed.disconnect)

    def connect(session: Session, router_id: str) -> None:
        router_interfaces.add_by_subnet(session, routers.row_of(session, router_id, lock=True), routed.subnet, QUOTA)

    results = at_once(*(lambda one=one: routed.db.write_now(connect, one) for one in others))  # type: ignore[misc]
    assert sorted(getattr(it, "kind", "made") for it in results) == ["IpAddressInUse"] * (THREADS - 1) + ["made"]
    at_gateway = routed.db.read_now(ports.find, Selection(filters={"ip_address": ("10.0.0.1",)}))
    assert len(at_gateway) == 1
