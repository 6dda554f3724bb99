"""Transactions of the Network Service that the database must decide, above all when several come at once."""

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlmodel import select

from infra.db import network_quotas, networks, port_bindings, ports, security_groups, subnets
from infra.db.engine import Database
from infra.db.network_rows import Page, Selection
from infra.db.tables.network import AddressRow
from infra.db.types import now
from infra.domain.errors import Conflict, KilonovaError, NotFound
from infra.domain.network import AddressWish, Network, NetworkQuota, NewPort, Subnet
from infra.network import ipam

PROJECT = "p" * 32
QUOTA = NetworkQuota()
THREADS = 8


def network(db: Database, **values: Any) -> Network:
    time = now()
    wanted = {"project_id": PROJECT, **values}
    new = Network(id=str(uuid.uuid4()), vni=0, created_at=time, updated_at=time, **wanted)
    return db.write_now(networks.create, new, QUOTA)


def subnet(db: Database, network_id: str, cidr: str = "10.0.0.0/26", **values: Any) -> Subnet:
    parsed = ipam.network_of(cidr, 4)
    gateway = ipam.default_gateway(parsed)
    time = now()
    new = Subnet(
        id=str(uuid.uuid4()), project_id=PROJECT, network_id=network_id, cidr=cidr, gateway_ip=gateway,
        allocation_pools=ipam.default_pools(parsed, gateway), created_at=time, updated_at=time, **values,
    )  # fmt: skip
    return db.write_now(subnets.create, new, QUOTA)


def new_port(network_id: str, **values: Any) -> NewPort:
    return NewPort(id=str(uuid.uuid4()), **{"project_id": PROJECT, "network_id": network_id, **values})


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Results, or the errors, of calls that begin together."""
    results: list[Any] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(n: int) -> None:
        start.wait()
        try:
            results[n] = calls[n]()
        except KilonovaError as e:
            results[n] = e

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_subnet_is_shared_out_without_duplicates(database: Database) -> None:
    net = network(database)
    made = subnet(database, net.id)
    projects = [f"{n:032}" for n in range(THREADS)]

    def take(n: int) -> list[str]:
        got = []
        while True:
            try:
                port = database.write_now(ports.create, new_port(net.id, project_id=projects[n]), QUOTA)
            except Conflict as e:
                return [*got, e.kind]
            got += [ip.ip_address for ip in port.fixed_ips]

    results = at_once(*(lambda n=n: take(n) for n in range(THREADS)))
    addresses = Counter(address for got in results for address in got)
    assert addresses.pop("IpAddressGenerationFailure") == THREADS
    assert set(addresses) == {f"10.0.0.{n}" for n in range(3, 63)}
    assert set(addresses.values()) == {1}
    assert len(database.read_now(subnets.dhcp_address, [made.id])) == 1


def test_one_address_goes_to_one_port(database: Database) -> None:
    net = network(database)
    made = subnet(database, net.id)
    wish = (AddressWish(subnet_id=made.id, ip_address="10.0.0.9"),)
    results = at_once(
        *(
            lambda n=n: database.write_now(ports.create, new_port(net.id, project_id=f"{n:032}", fixed_ips=wish), QUOTA)
            for n in range(THREADS)
        )
    )
    refused = [e for e in results if isinstance(e, Conflict)]
    assert [e.kind for e in refused] == ["IpAddressInUse"] * (THREADS - 1)
    assert len(database.read_now(ports.find, Selection(filters={"ip_address": ("10.0.0.9",)}))) == 1


def test_the_last_place_of_a_quota_goes_to_one(database: Database) -> None:
    net = network(database)
    quota = NetworkQuota(port=3)
    results = at_once(*(lambda: database.write_now(ports.create, new_port(net.id), quota) for _ in range(THREADS)))
    assert sorted(getattr(r, "kind", "made") for r in results) == ["OverQuota"] * (THREADS - 3) + ["made"] * 3
    assert database.read_now(network_quotas.used, PROJECT, "port") == 3


def test_one_key_makes_one_port(database: Database) -> None:
    net = network(database)
    subnet(database, net.id)
    results = at_once(
        *(
            lambda: database.write_now(port_bindings.create, new_port(net.id), "server/1/port", QUOTA)
            for _ in range(THREADS)
        )
    )
    assert len({port.id for port in results}) == 1
    assert database.read_now(network_quotas.used, PROJECT, "port") == 1


@pytest.mark.parametrize("round", range(4))
def test_an_undo_at_the_same_time_leaves_nothing(database: Database, round: int) -> None:
    net = network(database)
    subnet(database, net.id)
    new = new_port(net.id)
    at_once(
        lambda: database.write_now(port_bindings.create, new, "server/1/port", QUOTA),
        lambda: database.write_now(port_bindings.delete, new.id, "server/1/port"),
        lambda: database.write_now(port_bindings.create, new, "server/1/port", QUOTA),
    )
    assert database.read_now(ports.get_many, [new.id]) == {}
    with pytest.raises(Conflict, match="undone"):
        database.write_now(port_bindings.create, new, "server/1/port", QUOTA)


def test_a_project_gets_one_default_group(database: Database) -> None:
    results = at_once(*(lambda: database.write_now(security_groups.default_of, PROJECT) for _ in range(THREADS)))
    assert len(set(results)) == 1
    assert len(database.read_now(security_groups.find, Selection(visible_to=PROJECT))) == 1


def test_overlapping_subnets_at_once(database: Database) -> None:
    net = network(database)
    results = at_once(*(lambda: subnet(database, net.id) for _ in range(THREADS)))
    assert sum(isinstance(r, Subnet) for r in results) == 1
    assert len(database.read_now(subnets.find, Selection())) == 1


def test_a_network_is_deleted_or_used_never_both(database: Database) -> None:
    for _ in range(5):
        net = network(database)
        subnet(database, net.id)
        new = new_port(net.id)
        at_once(
            lambda new=new: database.write_now(ports.create, new, QUOTA),  # type: ignore[misc]
            lambda net=net: database.write_now(networks.delete, net.id),  # type: ignore[misc]
        )
        exists = database.read_now(networks.get_many, [net.id])
        assert bool(exists) == bool(database.read_now(ports.get_many, [new.id]))


def test_vnis_are_unique_and_drawn_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    first = network(database)
    draws = iter([first.vni, first.vni, 42])
    monkeypatch.setattr(networks, "random_vni", lambda: next(draws))
    assert network(database).vni == 42


def test_mac_addresses_are_drawn_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(database)
    first = database.write_now(ports.create, new_port(net.id), QUOTA)
    draws = iter([first.mac_address, "fa:16:3e:00:00:42"])
    monkeypatch.setattr("infra.db.port_rows.random_mac", lambda: next(draws))
    assert database.write_now(ports.create, new_port(net.id), QUOTA).mac_address == "fa:16:3e:00:00:42"


def test_a_deleted_network_leaves_no_row_behind(database: Database) -> None:
    net = network(database)
    made = subnet(database, net.id)
    port = database.write_now(ports.create, new_port(net.id), QUOTA)
    database.write_now(ports.delete, port.id)
    database.write_now(networks.delete, net.id)
    for find in (networks.find, subnets.find, ports.find):
        assert database.read_now(find, Selection()) == []
    assert database.read_now(lambda session: session.exec(select(AddressRow)).all()) == []
    with pytest.raises(NotFound):
        database.read_now(subnets.get, made.id)


def test_ports_count_for_a_server_only_when_workers_bound_them(database: Database) -> None:
    net = network(database)
    database.write_now(ports.create, new_port(net.id, device_id="server"), QUOTA)
    assert database.read_now(ports.of_devices, ["server"]) == {"server": []}
    bound = database.write_now(port_bindings.create, new_port(net.id, device_id="server"), "server/1/port", QUOTA)
    assert database.read_now(ports.of_devices, ["server"]) == {"server": [bound]}


def test_pages_meet_every_row_once_in_any_order(database: Database) -> None:
    net = network(database)
    made = [database.write_now(ports.create, new_port(net.id, name=name), QUOTA).id for name in "bcabdaacb"]
    for sort in ((), (("name", False),), (("name", True), ("mac_address", False))):
        seen: list[str] = []
        page = Page(sort=sort, limit=2)
        while found := database.read_now(ports.find, Selection(page=page)):
            seen += [port.id for port in found]
            page = page.model_copy(update={"marker": seen[-1]})
        assert sorted(seen) == sorted(made)
        back = database.read_now(ports.find, Selection(page=Page(sort=sort, limit=4, marker=seen[-1], reverse=True)))
        assert [port.id for port in back] == seen[-5:-1]


def test_networks_for_a_server_that_names_none(database: Database) -> None:
    own = network(database)
    shared = network(database, project_id="other", shared=True)
    network(database, project_id="other")
    network(database, external=True)
    assert [each.id for each in database.read_now(networks.attachable, PROJECT)] == [own.id, shared.id]


def test_groups_by_name_or_id(database: Database) -> None:
    default = database.write_now(security_groups.default_of, PROJECT)
    found = database.write_now(security_groups.named, PROJECT, ["default", default])
    assert [group.id for group in found] == [default, default]
    with pytest.raises(NotFound):
        database.write_now(security_groups.named, "other", [default])
