"""What dnsmasq is told, word by word."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.domain.errors import BuildAborted
from infra.domain.network import HostRoute, Nic, NicAddress
from infra.network import dhcp
from infra.network.port_files import PluggedPort

FOUR = NicAddress(
    ip_address="10.0.0.5",
    cidr="10.0.0.0/24",
    gateway_ip="10.0.0.1",
    dns_nameservers=("192.0.2.53",),
    host_routes=(HostRoute(destination="198.51.100.0/24", nexthop="10.0.0.9"),),
    dhcp_ip="10.0.0.2",
)
SIX = NicAddress(
    ip_address="fd00::5", cidr="fd00::/64", gateway_ip="fd00::1", dns_nameservers=("fd00::53",), dhcp_ip="fd00::2"
)


def port(*addresses: NicAddress, hostname: str = "web", number: int = 1) -> PluggedPort:
    nic = Nic(
        port_id=f"00000000-0000-0000-0000-{number:012}",
        network_id="10000000-0000-0000-0000-000000000000",
        vni=7,
        mtu=1450,
        mac_address=f"FA:16:3E:00:00:{number:02X}",
        addresses=addresses,
    )
    return PluggedPort(server_id="server-1", hostname=hostname, nic=nic)


def test_a_host_has_its_addresses_of_both_versions_and_its_name() -> None:
    assert dhcp.hosts([port(FOUR, SIX)]) == "fa:16:3e:00:00:01,10.0.0.5,[fd00::5],web.openstacklocal,86400\n"


def test_a_name_without_letters_gives_way_to_the_address() -> None:
    assert ",host-10-0-0-5.openstacklocal," in dhcp.hosts([port(FOUR, hostname="サーバ")])
    assert ",host-fd00-5.openstacklocal," in dhcp.hosts([port(SIX, hostname="")])


def test_the_later_port_has_an_address_that_two_claim() -> None:
    assert dhcp.hosts([port(FOUR, number=1), port(FOUR, number=2)]).startswith("fa:16:3e:00:00:02,10.0.0.5,")
    assert dhcp.hosts([port(FOUR, number=1), port(FOUR, number=2)]).count("\n") == 1


def test_a_subnet_without_dhcp_is_not_served() -> None:
    silent = FOUR.model_copy(update={"enable_dhcp": False})
    assert (dhcp.hosts([port(silent)]), dhcp.options([port(silent)]), dhcp.ranges([port(silent)])) == ("", "", [])


def test_options_of_a_subnet() -> None:
    assert dhcp.options([port(FOUR), port(SIX, number=2)]).splitlines() == [
        "tag:n10.0.0.0-24,option:router,10.0.0.1",
        "tag:n10.0.0.0-24,option:classless-static-route,"
        "169.254.169.254/32,10.0.0.2,198.51.100.0/24,10.0.0.9,0.0.0.0/0,10.0.0.1",
        "tag:n10.0.0.0-24,option:dns-server,192.0.2.53",
        "tag:nfd00..-64,option6:dns-server,[fd00::53]",
    ]


def test_the_newest_description_of_a_subnet_counts() -> None:
    changed = FOUR.model_copy(update={"dns_nameservers": ("192.0.2.99",), "ip_address": "10.0.0.6"})
    text = dhcp.options([port(FOUR), port(changed, number=2)])
    assert "192.0.2.99" in text
    assert "192.0.2.53" not in text


def test_arguments_name_every_subnet_once() -> None:
    served = dhcp.ranges([port(FOUR), port(FOUR, number=2), port(SIX, number=3)])
    words = dhcp.arguments(Path("/state/networks/n"), served, mtu=1450, user="nobody")
    assert [word for word in words if word.startswith("--dhcp-range=")] == [
        "--dhcp-range=set:n10.0.0.0-24,10.0.0.0,static,255.255.255.0,86400",
        "--dhcp-range=set:nfd00..-64,fd00::,static,64,86400",
    ]
    assert "--user=nobody" in words
    assert "--ra-param=dhcp,mtu:1450,60,0" in words
    only_four = dhcp.arguments(Path("/n"), dhcp.ranges([port(FOUR)]), mtu=1450, user="nobody")
    assert not any(word.startswith(("--enable-ra", "--ra-param")) for word in only_four)


def test_more_routes_than_an_option_holds_are_refused() -> None:
    routes = tuple(HostRoute(destination=f"10.{number}.0.0/16", nexthop="10.0.0.9") for number in range(30))
    with pytest.raises(BuildAborted, match="more routes"):
        dhcp.check(port(FOUR.model_copy(update={"host_routes": routes})).nic)
    dhcp.check(port(FOUR.model_copy(update={"host_routes": routes[:20]})).nic)


def _is_no_address(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return True
    return False


@given(name=st.text(), text=st.text(min_size=1).filter(_is_no_address))
@example(name="web", text="10.0.0.5\n")
@example(name="a,b", text="10.0.0.0/24,static")
def test_no_text_adds_a_line_or_an_option(name: str, text: str) -> None:
    """Whatever passes the check comes out as one host line, and its options as three lines."""
    for field in ("ip_address", "cidr", "gateway_ip", "dhcp_ip"):
        hostile = port(FOUR.model_copy(update={field: text}), hostname=name)
        with pytest.raises(BuildAborted):
            dhcp.check(hostile.nic)
    assert dhcp.hosts([port(FOUR, hostname=name)]).count("\n") == 1
    assert dhcp.hosts([port(FOUR, hostname=name)]).count(",") == 3
