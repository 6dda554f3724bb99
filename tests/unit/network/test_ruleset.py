"""The rules of a network as nft reads them: kept in ``golden/``, where a change shows. The kernel takes them in
``tests/contract/test_network_filter.py``."""

from pathlib import Path

import pytest

from infra.domain.host_network import AddressPair, HostNetwork, Rule, SecuredPort
from infra.domain.network import Nic, NicAddress
from infra.network.linux import ruleset

GOLDEN = Path(__file__).parent / "golden" / "network.nft"
GROUP, PARTNERS = "33333333-0000-4000-8000-000000000001", "33333333-0000-4000-8000-000000000002"
FABRIC = ruleset.Fabric(prefix="kn", network_id="22222222-0000-4000-8000-000000000001", zone=7)


def nic(last: int, *addresses: str) -> Nic:
    return Nic(
        port_id=f"{last}1111111-0000-4000-8000-000000000000",
        network_id=FABRIC.network_id,
        vni=5,
        mtu=1400,
        mac_address=f"fa:16:3e:00:00:{last:02}",
        addresses=tuple(
            NicAddress(
                ip_address=address,
                cidr="fd00::/64" if ":" in address else "10.0.0.0/24",
                gateway_ip=None,
                dhcp_ip="fd00::2" if ":" in address else "10.0.0.2",
            )
            for address in addresses
        ),
    )


def into(ethertype: str = "IPv4", **values: object) -> Rule:
    return Rule.model_validate({"direction": "ingress", "ethertype": ethertype, **values})


RULES = (
    Rule(direction="egress", ethertype="IPv4"),
    Rule(direction="egress", ethertype="IPv6", protocol=132, first=1, last=65535, prefix="fd00:1::/32"),
    into(group=GROUP),
    into("IPv6", group=GROUP),
    into(protocol=6, first=22, last=22, prefix="0.0.0.0/0"),
    into(protocol=6, first=22, last=22),
    into(protocol=17, first=1000, last=2000, prefix="192.0.2.0/24"),
    into(protocol=1, first=8),
    into("IPv6", protocol=58, first=128, last=0),
    into(protocol=58, first=128, last=0),
    into(protocol=112, group=PARTNERS),
)
PLUGGED = (nic(1, "10.0.0.5", "fd00::5"), nic(2, "10.0.0.6"), nic(3, "10.0.0.7"), nic(4))
KNOWN = HostNetwork(
    ports=(
        SecuredPort(
            id=PLUGGED[0].port_id,
            groups=(GROUP,),
            pairs=(
                AddressPair(mac_address="fa:16:3e:00:00:99", prefix="10.0.0.100"),
                AddressPair(mac_address=PLUGGED[0].mac_address, prefix="10.0.0.0/25"),
                AddressPair(mac_address=PLUGGED[0].mac_address, prefix="fd00::/64"),
            ),
        ),
        SecuredPort(id=PLUGGED[1].port_id, groups=(GROUP,), stateful=False),
        SecuredPort(id=PLUGGED[2].port_id, secured=False),
    ),
    rules={GROUP: RULES},
    members={GROUP: ("10.0.0.0/25", "10.0.0.5", "10.0.0.6", "fd00::/64", "fd00::5")},
)


def test_a_network_of_every_kind_of_port_and_rule() -> None:
    assert ruleset.render(FABRIC, PLUGGED, KNOWN).whole() == GOLDEN.read_text()


def test_a_port_that_nothing_is_known_of_is_let_nothing_but_what_all_are() -> None:
    chains = ruleset.render(FABRIC, [PLUGGED[0]], HostNetwork()).chains
    for direction in ("in", "out"):
        rules = chains[f"{direction}-{PLUGGED[0].port_id}"]
        assert rules[-2:] == ("meta mark and 0x8000000 == 0x8000000 return", "drop")
    known = ruleset.render(FABRIC, PLUGGED, KNOWN).chains
    always = known[f"in-{PLUGGED[0].port_id}"]
    assert chains[f"in-{PLUGGED[0].port_id}"][:-1] == always[: len(rules) - 1][: always.index(rules[-2]) + 1]


def test_a_port_without_port_security_has_no_chain() -> None:
    table = ruleset.render(FABRIC, [PLUGGED[2]], KNOWN)
    assert (table.chains, table.leaving, table.arriving) == ({}, {}, {})


def test_what_is_the_same_is_not_told_again() -> None:
    table = ruleset.render(FABRIC, PLUGGED, KNOWN)
    assert table.since(table) == ""
    more = ruleset.render(FABRIC, [*PLUGGED, nic(5, "10.0.0.9")], KNOWN)
    told = more.since(table).splitlines()
    assert [line for line in told if nic(5).port_id not in line] == []
    back = table.since(more).splitlines()
    assert [line.split()[0] for line in back] == ["delete"] * 4
    moved = ruleset.render(FABRIC.model_copy(update={"zone": 8}), PLUGGED, KNOWN)
    assert moved.since(table) == moved.whole()


@pytest.mark.parametrize(
    ("mac", "address"),
    [("fa:16:3e:00:00:01", "fe80::f816:3eff:fe00:1"), ("00:00:00:00:00:00", "fe80::200:ff:fe00:0")],
)
def test_the_address_that_a_mac_gives_itself(mac: str, address: str) -> None:
    assert ruleset.link_local(mac) == address
