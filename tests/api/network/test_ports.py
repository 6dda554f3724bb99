import json
from typing import Any

import pytest

from tests.api.network.conftest import ALICE, Caller


@pytest.fixture
async def net(alice: Caller) -> dict[str, Any]:
    """Alice's network with one subnet, 10.0.0.0/28."""
    network = await alice.make("network", name="net")
    made = await alice.make("subnet", network_id=network["id"], ip_version=4, cidr="10.0.0.0/28")
    return {"id": network["id"], "subnet": made["id"]}


async def test_a_port_as_neutron_shows_it(alice: Caller, net: dict[str, Any]) -> None:
    made = await alice.make("port", network_id=net["id"], name="p")
    (default,) = (await alice("GET", "/security-groups?name=default"))["security_groups"]
    shown = (await alice("GET", f"/ports/{made['id']}", status=200))["port"]
    assert shown == made
    assert made["mac_address"].startswith("fa:16:3e:")
    varying = ("id", "mac_address", "created_at", "updated_at")
    assert {k: v for k, v in made.items() if k not in varying} == {
        "name": "p", "description": "", "network_id": net["id"], "project_id": ALICE, "tenant_id": ALICE,
        "admin_state_up": True, "status": "DOWN", "device_id": "", "device_owner": "",
        "fixed_ips": [{"subnet_id": net["subnet"], "ip_address": "10.0.0.3"}], "security_groups": [default["id"]],
        "port_security_enabled": True, "allowed_address_pairs": [], "extra_dhcp_opts": [],
        "binding:vnic_type": "normal", "tags": [], "revision_number": 0,
    }  # fmt: skip


async def test_fixed_ips(alice: Caller, net: dict[str, Any]) -> None:
    made = await alice.make("port", network_id=net["id"], fixed_ips=[{"ip_address": "10.0.0.9"}])
    assert made["fixed_ips"] == [{"subnet_id": net["subnet"], "ip_address": "10.0.0.9"}]
    taken = {"port": {"network_id": net["id"], "fixed_ips": [{"ip_address": "10.0.0.9"}]}}
    assert (await alice("POST", "/ports", taken, status=409))["NeutronError"]["type"] == "IpAddressInUse"
    both = [{"subnet_id": net["subnet"], "ip_address": "10.0.0.8"}, {"subnet_id": net["subnet"]}]
    made = await alice.make("port", network_id=net["id"], fixed_ips=both)
    assert [ip["ip_address"] for ip in made["fixed_ips"]] == ["10.0.0.8", "10.0.0.3"]
    assert (await alice.make("port", network_id=net["id"], fixed_ips=[]))["fixed_ips"] == []
    for wish, kind in (
        ({"ip_address": "10.9.9.9"}, "InvalidIpForNetwork"),
        ({"ip_address": "10.0.0.15"}, "InvalidIpForNetwork"),
        ({"ip_address": "10.9.9.9", "subnet_id": net["subnet"]}, "InvalidIpForSubnet"),
        ({"subnet_id": "nothing"}, "InvalidInput"),
    ):
        body = {"port": {"network_id": net["id"], "fixed_ips": [wish]}}
        assert (await alice("POST", "/ports", body, status=400))["NeutronError"]["type"] == kind
    assert len((await alice("GET", "/ports?device_owner="))["ports"]) == 3


async def test_update_of_fixed_ips_keeps_what_fits(alice: Caller, net: dict[str, Any]) -> None:
    other = await alice.make("subnet", network_id=net["id"], ip_version=4, cidr="10.1.0.0/28")
    made = await alice.make("port", network_id=net["id"])

    async def change(*wishes: dict[str, str]) -> list[str]:
        body = {"port": {"fixed_ips": list(wishes)}}
        changed = await alice("PUT", f"/ports/{made['id']}", body, status=200)
        return [ip["ip_address"] for ip in changed["port"]["fixed_ips"]]

    first, second = {"subnet_id": net["subnet"]}, {"subnet_id": other["id"]}
    assert await change(first, second) == ["10.0.0.3", "10.1.0.3"]
    assert await change(second) == ["10.1.0.3"]
    assert await change(second, {"ip_address": "10.0.0.7"}) == ["10.1.0.3", "10.0.0.7"]
    assert await change(first, {"ip_address": "10.0.0.7"}) == ["10.0.0.3", "10.0.0.7"]
    assert await change() == []
    assert (await alice("GET", f"/ports/{made['id']}"))["port"]["revision_number"] == 5


async def test_a_full_subnet(alice: Caller, net: dict[str, Any]) -> None:
    made = [await alice.make("port", network_id=net["id"]) for _ in range(12)]
    assert sorted(int(p["fixed_ips"][0]["ip_address"].split(".")[3]) for p in made) == list(range(3, 15))
    refused = await alice("POST", "/ports", {"port": {"network_id": net["id"]}}, status=409)
    assert refused["NeutronError"]["type"] == "IpAddressGenerationFailure"
    assert len((await alice("GET", "/ports?device_owner="))["ports"]) == 12
    await alice("DELETE", f"/ports/{made[4]['id']}", status=204)
    again = await alice.make("port", network_id=net["id"])
    assert again["fixed_ips"] == made[4]["fixed_ips"]


async def test_mac_addresses(alice: Caller, net: dict[str, Any]) -> None:
    made = await alice.make("port", network_id=net["id"], mac_address="FA-16-3E-00-00-01")
    assert made["mac_address"] == "fa:16:3e:00:00:01"
    body = {"port": {"network_id": net["id"], "mac_address": "fa:16:3e:00:00:01"}}
    assert (await alice("POST", "/ports", body, status=409))["NeutronError"]["type"] == "MacAddressInUse"
    other = await alice.make("port", network_id=net["id"])
    change = {"port": {"mac_address": "fa:16:3e:00:00:01"}}
    assert (await alice("PUT", f"/ports/{other['id']}", change, status=409))["NeutronError"][
        "type"
    ] == "MacAddressInUse"
    elsewhere = (await alice.make("network"))["id"]
    assert (await alice.make("port", network_id=elsewhere, mac_address="fa:16:3e:00:00:01"))["fixed_ips"] == []


async def test_lists_filter_by_address(alice: Caller, net: dict[str, Any]) -> None:
    one = await alice.make("port", network_id=net["id"], fixed_ips=[{"ip_address": "10.0.0.4"}], device_id="d1")
    two = await alice.make("port", network_id=net["id"], fixed_ips=[{"ip_address": "10.0.0.14"}])

    async def ids(query: str) -> list[str]:
        return [it["id"] for it in (await alice("GET", f"/ports?device_owner=&{query}", status=200))["ports"]]

    assert await ids("fixed_ips=ip_address=10.0.0.4") == [one["id"]]
    assert await ids(f"fixed_ips=ip_address%3D10.0.0.14&fixed_ips=subnet_id={net['subnet']}") == [two["id"]]
    assert await ids("fixed_ips=ip_address_substr=0.4") == [one["id"]]
    assert await ids("fixed_ips=ip_address_substr=%25") == []
    assert await ids(f"id={one['id']}&id={two['id']}&sort_key=device_id") == [two["id"], one["id"]]
    assert await ids("device_id=d1") == [one["id"]]
    assert await ids(f"mac_address={two['mac_address']}") == [two["id"]]
    assert await ids(f"network_id={net['id']}&status=DOWN") == [one["id"], two["id"]]
    assert await ids(f"security_groups={one['security_groups'][0]}&limit=1") == [one["id"]]
    await alice("GET", "/ports?fixed_ips=colour=red", status=400)


async def test_port_security_and_groups(alice: Caller, bob: Caller, net: dict[str, Any]) -> None:
    assert (await alice.make("port", network_id=net["id"], security_groups=[]))["security_groups"] == []
    open_port = await alice.make("port", network_id=net["id"], port_security_enabled=False)
    assert open_port["security_groups"] == []
    group = await alice.make("security_group", name="g")
    conflict = {"security_groups": [group["id"]], "port_security_enabled": False, "network_id": net["id"]}
    await alice("POST", "/ports", {"port": conflict}, status=409)
    theirs = (await bob.make("security_group", name="g"))["id"]
    await alice("POST", "/ports", {"port": {"network_id": net["id"], "security_groups": [theirs]}}, status=404)
    stateless = await alice.make("security_group", name="stateless", stateful=False)
    mixed = {"security_groups": [group["id"], stateless["id"]], "network_id": net["id"]}
    await alice("POST", "/ports", {"port": mixed}, status=409)
    change = {"port": {"port_security_enabled": True, "security_groups": [group["id"]]}}
    changed = await alice("PUT", f"/ports/{open_port['id']}", change, status=200)
    assert changed["port"]["security_groups"] == [group["id"]]
    refused = await alice("DELETE", f"/security-groups/{group['id']}", status=409)
    assert refused["NeutronError"]["type"] == "SecurityGroupInUse"


async def test_address_pairs_and_dhcp_options(alice: Caller, net: dict[str, Any]) -> None:
    made = await alice.make(
        "port", network_id=net["id"], allowed_address_pairs=[{"ip_address": "10.5.0.0/16"}],
        extra_dhcp_opts=[{"opt_name": "bootfile-name", "opt_value": "pxelinux.0"}],
    )  # fmt: skip
    assert made["allowed_address_pairs"] == [{"ip_address": "10.5.0.0/16", "mac_address": made["mac_address"]}]
    assert made["extra_dhcp_opts"] == [{"opt_name": "bootfile-name", "opt_value": "pxelinux.0", "ip_version": 4}]
    options = [{"opt_name": "bootfile-name", "opt_value": None}, {"opt_name": "mtu", "opt_value": "1400"}]
    changed = await alice("PUT", f"/ports/{made['id']}", {"port": {"extra_dhcp_opts": options}}, status=200)
    assert changed["port"]["extra_dhcp_opts"] == [{"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}]


BAD: list[dict[str, Any]] = [
    {"mac_address": "x"}, {"mac_address": "01:16:3e:00:00:01"}, {"mac_address": "00:00:00:00:00:00"},
    {"fixed_ips": "10.0.0.4"}, {"fixed_ips": [{}]}, {"fixed_ips": [{"ip_address": "1.2.3.4\n"}]},
    {"fixed_ips": [{"ip_address": "10.0.0.4"}] * 2}, {"fixed_ips": [{"ip_address": "10.0.0.4"}] * 200},
    {"fixed_ips": [{"ip_address": "10.0.0.4", "x": 1}]}, {"fixed_ips": [{"ip_address": {"$gt": ""}}]},
    {"allowed_address_pairs": [{"ip_address": "fe80::1%eth0"}]}, {"allowed_address_pairs": [{}]},
    {"allowed_address_pairs": [{"ip_address": f"10.0.0.{n}"} for n in range(11)]},
    {"extra_dhcp_opts": [{"opt_name": "a\nb", "opt_value": "c"}]},
    {"extra_dhcp_opts": [{"opt_name": "a", "opt_value": "c\ndhcp-script=/bin/sh"}]},
    {"extra_dhcp_opts": [{"opt_name": "a,b", "opt_value": "c"}]},
    {"admin_state_up": "maybe"}, {"admin_state_up": None}, {"admin_state_up": 2}, {"admin_state_up": []},
    {"name": "\x1b[31m"}, {"name": "a" * 256}, {"device_id": "a\x00"}, {"device_id": None},
    {"binding:vnic_type": "direct"}, {"colour": 1}, {"created_at": "now"}, {"tags": ["a"]},
    {"port_security_enabled": "1.0"}, {"security_groups": "g"}, {"security_groups": [None]},
    {"tenant_id": "a", "project_id": "b"}, {"tenant_id": "someone"}, {"binding:profile": "x"},
]  # fmt: skip


async def test_bad_input_is_refused_and_leaves_nothing(alice: Caller, net: dict[str, Any]) -> None:
    for bad in BAD:
        refused = await alice("POST", "/ports", {"port": {"network_id": net["id"], **bad}})
        assert refused.get("NeutronError", {}).get("type") == "HTTPBadRequest", bad
    assert (await alice("GET", "/ports?device_owner="))["ports"] == []


async def test_values_that_no_database_stores(admin: Caller, net: dict[str, Any]) -> None:
    profiles = [{"binding:profile": {"a": value}} for value in (1e400, "\x00", "\ud800", "x" * 5000)]
    for values in (*profiles, {"name": "\ud800"}, {"security_groups": ["\ud800"]}, {"\ud800": 1}):
        body = json.dumps({"port": {"network_id": net["id"], **values}})
        reply = await admin.http.post("/network/v2.0/ports", content=body, headers=admin.headers)
        assert reply.status_code == 400, reply.text


NO_REQUESTS = [
    b"", b"{", b"null", b"[]", b'"x"', b"{}", b'{"port": null}', b'{"port": []}', b'{"ports": [1]}', b"\xff\xfe",
    b'{"port": {}, "x": 1}', b"[" * 100000, b'{"port": ' * 5000, b'{"port": {"mtu": ' + b"9" * 5000 + b"}}",
]  # fmt: skip


async def test_bodies_that_are_no_request(alice: Caller) -> None:
    for content in NO_REQUESTS:
        reply = await alice.http.post("/network/v2.0/ports", content=content, headers=alice.headers)
        assert reply.status_code == 400, (content[:50], reply.text)
        assert reply.json()["NeutronError"]["type"] == "HTTPBadRequest"


async def test_a_body_that_is_too_large(alice: Caller) -> None:
    reply = await alice.http.post("/network/v2.0/ports", content=b" " * 200000, headers=alice.headers)
    assert reply.status_code == 413


async def test_ports_of_others(alice: Caller, bob: Caller, admin: Caller, net: dict[str, Any]) -> None:
    made = await alice.make("port", network_id=net["id"])
    await bob("GET", f"/ports/{made['id']}", status=404)
    await bob("PUT", f"/ports/{made['id']}", {"port": {"name": "x"}}, status=404)
    await bob("DELETE", f"/ports/{made['id']}", status=404)
    assert "binding:host_id" not in made
    assert (await admin("GET", f"/ports/{made['id']}"))["port"]["binding:vif_type"] == "unbound"
    await alice("PUT", f"/ports/{made['id']}", {"port": {"binding:host_id": "h"}}, status=403)
    await alice("POST", "/ports", {"port": {"network_id": net["id"], "binding:host_id": "h"}}, status=403)
    await alice("POST", "/ports", {"port": {"network_id": net["id"], "device_owner": "network:dhcp"}}, status=403)
    await alice("POST", "/ports", {"port": {"network_id": net["id"], "id": made["id"]}}, status=400)
