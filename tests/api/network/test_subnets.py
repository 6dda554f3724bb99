from typing import Any

from tests.api.network.conftest import Caller


async def subnet(caller: Caller, **values: Any) -> dict[str, Any]:
    network = values.pop("network_id", None) or (await caller.make("network"))["id"]
    return await caller.make("subnet", network_id=network, **{"ip_version": 4, "cidr": "10.0.0.0/24", **values})


async def test_defaults(alice: Caller) -> None:
    made = await subnet(alice)
    assert made["gateway_ip"] == "10.0.0.1"
    assert made["allocation_pools"] == [{"start": "10.0.0.2", "end": "10.0.0.254"}]
    assert made["enable_dhcp"] is True
    assert (made["dns_nameservers"], made["host_routes"], made["service_types"]) == ([], [], [])
    assert (await alice("GET", f"/networks/{made['network_id']}"))["network"]["subnets"] == [made["id"]]
    assert (await alice("GET", f"/subnets/{made['id']}", status=200))["subnet"] == made


async def test_ipv6(alice: Caller) -> None:
    made = await subnet(alice, ip_version=6, cidr="2001:db8:0::/64", host_routes=[])
    assert (made["cidr"], made["gateway_ip"]) == ("2001:db8::/64", "2001:db8::1")
    assert made["allocation_pools"] == [{"start": "2001:db8::2", "end": "2001:db8::ffff:ffff:ffff:ffff"}]
    port = await alice.make("port", network_id=made["network_id"])
    assert port["fixed_ips"] == [{"subnet_id": made["id"], "ip_address": "2001:db8::2"}]


async def test_no_gateway_and_no_dhcp(alice: Caller) -> None:
    made = await subnet(alice, gateway_ip=None, enable_dhcp="false")
    assert (made["gateway_ip"], made["enable_dhcp"]) == (None, False)
    assert made["allocation_pools"] == [{"start": "10.0.0.1", "end": "10.0.0.254"}]
    assert (await alice("GET", "/ports"))["ports"] == []


async def test_dhcp_has_a_port_that_comes_and_goes_with_it(alice: Caller) -> None:
    made = await subnet(alice)
    (port,) = (await alice("GET", "/ports?device_owner=network:dhcp"))["ports"]
    assert port["fixed_ips"] == [{"subnet_id": made["id"], "ip_address": "10.0.0.2"}]
    refused = await alice("DELETE", f"/ports/{port['id']}", status=409)
    assert refused["NeutronError"]["type"] == "ServicePortInUse"
    await alice("PUT", f"/ports/{port['id']}", {"port": {"device_owner": ""}}, status=403)
    await alice("PUT", f"/subnets/{made['id']}", {"subnet": {"enable_dhcp": False}}, status=200)
    assert (await alice("GET", "/ports"))["ports"] == []
    await alice("PUT", f"/subnets/{made['id']}", {"subnet": {"enable_dhcp": True}}, status=200)
    await alice("DELETE", f"/subnets/{made['id']}", status=204)
    assert (await alice("GET", "/ports"))["ports"] == []


async def test_overlap_in_one_network_is_refused(alice: Caller) -> None:
    made = await subnet(alice)
    for cidr in ("10.0.0.0/24", "10.0.0.128/25", "10.0.0.0/8"):
        body = {"network_id": made["network_id"], "ip_version": 4, "cidr": cidr}
        refused = await alice("POST", "/subnets", {"subnet": body}, status=400)
        assert "overlaps with another subnet" in refused["NeutronError"]["message"]
    await subnet(alice)


async def test_networks_and_subnets_in_use_stay(alice: Caller) -> None:
    made = await subnet(alice)
    port = await alice.make("port", network_id=made["network_id"])
    refused = await alice("DELETE", f"/networks/{made['network_id']}", status=409)
    assert refused["NeutronError"]["type"] == "NetworkInUse"
    refused = await alice("DELETE", f"/subnets/{made['id']}", status=409)
    assert refused["NeutronError"]["type"] == "SubnetInUse"
    await alice("DELETE", f"/ports/{port['id']}", status=204)
    await alice("DELETE", f"/networks/{made['network_id']}", status=204)
    await alice("GET", f"/subnets/{made['id']}", status=404)
    assert (await alice("GET", "/ports"))["ports"] == []


async def test_update(alice: Caller) -> None:
    made = await subnet(alice, allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.20"}])
    changes = {
        "name": "n", "gateway_ip": "10.0.0.5", "dns_nameservers": ["9.9.9.9", "1.1.1.1"],
        "host_routes": [{"destination": "10.20.0.0/32", "nexthop": "10.0.0.7"}],
    }  # fmt: skip
    changed = (await alice("PUT", f"/subnets/{made['id']}", {"subnet": changes}, status=200))["subnet"]
    assert changed == {**made, **changes, "revision_number": 1, "updated_at": changed["updated_at"]}
    for bad in (
        {"gateway_ip": "10.0.0.15"}, {"gateway_ip": "10.0.0.255"}, {"gateway_ip": "2001:db8::1"},
        {"cidr": "10.1.0.0/24"},
        {"allocation_pools": [{"start": "10.0.0.4", "end": "10.0.0.6"}]}, {"network_id": "x"}, {"id": "x"},
    ):  # fmt: skip
        await alice("PUT", f"/subnets/{made['id']}", {"subnet": bad}, status=400)
    nulls = {"dns_nameservers": None, "host_routes": None, "gateway_ip": None}
    changed = (await alice("PUT", f"/subnets/{made['id']}", {"subnet": nulls}, status=200))["subnet"]
    assert (changed["dns_nameservers"], changed["host_routes"], changed["gateway_ip"]) == ([], [], None)


BAD: list[dict[str, Any]] = [
    {"cidr": "0.0.0.0/0"}, {"cidr": "10.0.0.0/32"}, {"cidr": "10.0.0.0/31"}, {"cidr": "10.0.0.1/24"},
    {"cidr": "224.0.0.0/24"}, {"cidr": "127.0.0.0/24"}, {"cidr": "0.0.0.0/8"}, {"cidr": "10.0.0.0"},
    {"cidr": "10.0.0.0/33"}, {"cidr": "10.0.0.0/24; rm -rf /"}, {"cidr": ""}, {"cidr": None}, {"cidr": 5},
    {"cidr": "fe80::%eth0/64", "ip_version": 6}, {"cidr": "2001:db8::/64"}, {"ip_version": 5}, {"ip_version": "x"},
    {"ip_version": None}, {"gateway_ip": "10.0.0.0"}, {"gateway_ip": "10.0.0.255"}, {"gateway_ip": "gw"},
    {"gateway_ip": ""}, {"gateway_ip": 1}, {"gateway_ip": "10.0.0.1%eth0"},
    {"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.0.8"}]},
    {"allocation_pools": [{"start": "10.0.1.9", "end": "10.0.1.10"}]},
    {"allocation_pools": [{"start": "10.0.0.0", "end": "10.0.0.10"}], "gateway_ip": None},
    {"allocation_pools": [{"start": "10.0.0.1", "end": "10.0.0.10"}]},
    {"allocation_pools": [{"start": "10.0.0.3", "end": "10.0.0.9"}, {"start": "10.0.0.9", "end": "10.0.0.10"}]},
    {"allocation_pools": [{"start": "2001:db8::1", "end": "2001:db8::2"}]}, {"allocation_pools": None},
    {"allocation_pools": [{"start": "10.0.0.3"}]}, {"allocation_pools": "all"},
    {"dns_nameservers": ["dns\nport=0"]}, {"dns_nameservers": ["9.9.9.9", "9.9.9.9"]},
    {"dns_nameservers": [f"9.9.9.{n}" for n in range(6)]}, {"dns_nameservers": "9.9.9.9"},
    {"host_routes": [{"destination": "10.1.0.0/16", "nexthop": "2001:db8::1"}]},
    {"host_routes": [{"destination": "x", "nexthop": "10.0.0.2"}]}, {"host_routes": [{}]},
    {"name": "a\nb"}, {"name": "x" * 256}, {"name": 7}, {"name": None}, {"name": ["x"]}, {"colour": "red"},
    {"id": "x"}, {"ipv6_ra_mode": "slaac"}, {"enable_dhcp": None}, {"enable_dhcp": "perhaps"},
    {"name": "a\x00b"}, {"description": "\u2028"},
]  # fmt: skip


async def test_bad_input_is_refused_and_leaves_nothing(alice: Caller) -> None:
    network = await alice.make("network")
    for bad in BAD:
        body = {"network_id": network["id"], "ip_version": 4, "cidr": "10.0.0.0/24", **bad}
        refused = await alice("POST", "/subnets", {"subnet": body})
        assert refused.get("NeutronError", {}).get("message"), bad
    assert (await alice("GET", "/subnets"))["subnets"] == []
    assert (await alice("GET", "/ports"))["ports"] == []


async def test_pools_that_leave_dhcp_no_room(alice: Caller) -> None:
    made = await subnet(alice, cidr="10.0.0.0/30")
    refused = await alice("POST", "/ports", {"port": {"network_id": made["network_id"]}}, status=409)
    assert refused["NeutronError"]["type"] == "IpAddressGenerationFailure"
    body = {"network_id": made["network_id"], "ip_version": 4, "cidr": "10.1.0.0/24", "allocation_pools": []}
    await alice("POST", "/subnets", {"subnet": body}, status=409)
    assert len((await alice("GET", "/subnets"))["subnets"]) == 1
