"""What hosts are told of their networking, and by which changes, on both databases."""

import uuid
from typing import Any

import pytest

from infra.db import claims, host_networks, hosts, network_changes, port_bindings, ports
from infra.db import security_group_rules as rules
from infra.db import security_groups as groups
from infra.db.engine import Database
from infra.db.types import now
from infra.domain.host_network import AddressPair, HostNetwork, Rule, SecuredPort
from infra.domain.keys import port_key
from infra.domain.network import AddressWish, NewPort, Port, SecurityGroup, SecurityGroupRule
from tests.contract.hosts_help import add, claim
from tests.contract.test_networks_db import PROJECT, QUOTA, network, new_port, subnet

SERVER = "5e54e400-0000-4000-8000-000000000001"
DNS = Rule(direction="ingress", ethertype="IPv4", protocol=17, first=53, last=53, prefix="192.0.2.0/24")


class Cloud:
    """One network, and how often each host's networking was changed."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.network_id = network(db).id
        subnet(db, self.network_id)
        self._seen: dict[str, int] = {}

    def port(self, host: str = "", **values: Any) -> Port:
        new = new_port(self.network_id, host=host, device_id=SERVER if host else "", **values)
        if not host:
            return self.db.write_now(ports.create, new, QUOTA)
        return self.db.write_now(port_bindings.create, new, port_key(SERVER, 1, new.id), QUOTA)

    def group(self, **values: Any) -> SecurityGroup:
        time = now()
        new = SecurityGroup(
            id=str(uuid.uuid4()), project_id=PROJECT, name="web", created_at=time, updated_at=time, **values
        )
        return self.db.write_now(groups.create, new, QUOTA)

    def rule(self, group_id: str, **values: Any) -> SecurityGroupRule:
        time = now()
        new = SecurityGroupRule(
            id=str(uuid.uuid4()), project_id=PROJECT, security_group_id=group_id, created_at=time, updated_at=time,
            **{"direction": "ingress", **values},
        )  # fmt: skip
        return self.db.write_now(rules.create, new, QUOTA)

    def told(self, *names: str) -> set[str]:
        """Those of the hosts whose number grew since they were last looked at."""
        found = {name: self.db.read_now(network_changes.number, name) for name in names or "abcd"}
        grown = {name for name, number in found.items() if number > self._seen.get(name, 0)}
        self._seen |= found
        return grown

    def of(self, host: str) -> HostNetwork:
        return self.db.read_now(host_networks.of_host, host)


@pytest.fixture
def cloud(database: Database) -> Cloud:
    return Cloud(database)


def test_a_host_reads_its_ports_with_rules_and_members(cloud: Cloud) -> None:
    web, stateless = cloud.group(), cloud.group(stateful=False)
    cloud.rule(web.id, protocol="udp", port_range_min=53, port_range_max=53, remote_ip_prefix="192.0.2.0/24")
    cloud.rule(web.id, protocol="icmp", ethertype="IPv6", remote_group_id=stateless.id)
    first = cloud.port("a", security_group_ids=(web.id,))
    pair = {"ip_address": "198.51.100.0/24"}
    other = cloud.port("b", security_group_ids=(stateless.id,), allowed_address_pairs=(pair,))
    free = cloud.port("a", port_security_enabled=False)
    unbound = cloud.port(security_group_ids=(stateless.id,))

    found = cloud.of("a")
    by_id = {port.id: port for port in found.ports}
    assert by_id == {
        first.id: SecuredPort(id=first.id, groups=(web.id,)),
        free.id: SecuredPort(id=free.id, secured=False),
    }
    assert set(found.rules) == {web.id}
    assert DNS in found.rules[web.id]
    assert Rule(direction="ingress", ethertype="IPv6", protocol=58, group=stateless.id) in found.rules[web.id]
    addresses = [port.fixed_ips[0].ip_address for port in (other, unbound)]
    assert found.members == {stateless.id: tuple(sorted([*addresses, "198.51.100.0/24"]))}

    (described,) = cloud.of("b").ports
    pairs = (AddressPair(mac_address=other.mac_address, prefix="198.51.100.0/24"),)
    assert described == SecuredPort(id=other.id, stateful=False, groups=(stateless.id,), pairs=pairs)
    assert cloud.db.read_now(host_networks.of_port, "b", other.id).ports == (described,)


def test_a_port_of_a_server_on_its_way_is_among_a_hosts(cloud: Cloud, database: Database) -> None:
    add(database, "a", "b")
    port = cloud.port("a")
    database.write_now(claims.claim, claim(SERVER, "b", attempt=2))
    assert [found.id for found in cloud.of("b").ports] == [port.id]


def test_rules_concern_the_hosts_of_their_group(cloud: Cloud) -> None:
    web = cloud.group()
    for host in ("a", "b"):
        cloud.port(host, security_group_ids=(web.id,))
    cloud.port("c")
    cloud.told()
    rule = cloud.rule(web.id, protocol="tcp")
    assert cloud.told() == {"a", "b"}
    cloud.db.write_now(rules.delete, rule.id)
    assert cloud.told() == {"a", "b"}


def test_members_concern_the_hosts_whose_rules_name_their_group(cloud: Cloud) -> None:
    """And the host that the member itself is on."""
    clients, web = cloud.group(), cloud.group()
    cloud.rule(web.id, remote_group_id=clients.id)
    cloud.port("a", security_group_ids=(web.id,))
    cloud.port("b", security_group_ids=(clients.id,))
    cloud.told()
    client = cloud.port("c", security_group_ids=(clients.id,))
    assert cloud.told() == {"a", "c"}
    pair = {"ip_address": "10.0.0.60"}
    cloud.db.write_now(ports.update, client.id, {"allowed_address_pairs": (pair,)})
    assert cloud.told() == {"a", "c"}
    cloud.db.write_now(ports.update, client.id, {"security_group_ids": (web.id,)})
    assert cloud.told() == {"a", "c"}
    cloud.db.write_now(ports.update, client.id, {"security_group_ids": (clients.id,)})
    cloud.told()
    cloud.db.write_now(ports.delete, client.id)
    assert cloud.told() == {"a", "c"}
    unbound = cloud.port(security_group_ids=(clients.id,), fixed_ips=(AddressWish(ip_address="10.0.0.50"),))
    assert cloud.told() == {"a"}
    cloud.db.write_now(ports.update, unbound.id, {"name": "seen", "description": "by nobody"})
    assert cloud.told() == set()
    cloud.db.write_now(ports.delete, unbound.id)
    empty = cloud.group()
    cloud.rule(web.id, remote_group_id=empty.id)
    cloud.told()
    cloud.db.write_now(groups.delete, empty.id)
    assert cloud.told() == {"a"}


def test_a_move_concerns_both_hosts(cloud: Cloud) -> None:
    port = cloud.port("a")
    cloud.told()
    cloud.db.write_now(port_bindings.hand_over, SERVER, "a", "b", 2)
    assert cloud.told() == {"a", "b"}
    assert [found.id for found in cloud.of("b").ports] == [port.id]


def test_a_number_goes_with_its_host(cloud: Cloud, database: Database) -> None:
    add(database, "a")
    cloud.port("a")
    assert database.read_now(network_changes.number, "a") == 1
    database.write_now(hosts.remove, "a")
    assert database.read_now(network_changes.number, "a") == 0


def test_a_change_that_is_taken_back_is_not_counted(cloud: Cloud) -> None:
    cloud.port("a")
    cloud.told()

    def fails(session: Any, new: NewPort) -> None:
        ports.create(session, new, QUOTA)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cloud.db.write_now(fails, new_port(cloud.network_id, host="a"))
    assert cloud.told() == set()
