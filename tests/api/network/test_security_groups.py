from typing import Any

from tests.api.network.conftest import Caller


async def test_every_project_has_a_default_group(alice: Caller, bob: Caller, reader: Caller) -> None:
    (group,) = (await reader("GET", "/security-groups", status=200))["security_groups"]
    assert group["name"] == "default"
    rules = {(r["direction"], r["ethertype"], r["remote_group_id"]) for r in group["security_group_rules"]}
    assert rules == {
        ("egress", "IPv4", None), ("egress", "IPv6", None), ("ingress", "IPv4", group["id"]),
        ("ingress", "IPv6", group["id"]),
    }  # fmt: skip
    assert [it["id"] for it in (await alice("GET", "/security-groups"))["security_groups"]] == [group["id"]]
    (other,) = (await bob("GET", "/security-groups"))["security_groups"]
    assert other["id"] != group["id"]
    await bob("GET", f"/security-groups/{group['id']}", status=404)
    for method, path, body in (
        ("POST", "/security-groups", {"security_group": {"name": "default"}}),
        ("PUT", f"/security-groups/{group['id']}", {"security_group": {"name": "x"}}),
        ("DELETE", f"/security-groups/{group['id']}", None),
    ):
        await alice(method, path, body, status=409)


async def test_a_group_lives_and_dies_with_its_rules(alice: Caller) -> None:
    group = await alice.make("security_group", name="web", description="d")
    assert [r["direction"] for r in group["security_group_rules"]] == ["egress", "egress"]
    path = f"/security-groups/{group['id']}"
    await alice("PUT", path, {"security_group": {"name": "default"}}, status=409)
    changed = (await alice("PUT", path, {"security_group": {"name": "w"}}, status=200))["security_group"]
    assert (changed["name"], changed["description"]) == ("w", "d")
    rule = await alice.make(
        "security_group_rule", security_group_id=group["id"], direction="ingress", protocol="TCP",
        port_range_min="80", port_range_max=81, remote_ip_prefix="10.0.0.1/24",
    )  # fmt: skip
    assert (rule["protocol"], rule["port_range_min"], rule["remote_ip_prefix"]) == ("tcp", 80, "10.0.0.0/24")
    assert (await alice("GET", f"/security-group-rules/{rule['id']}"))["security_group_rule"] == rule
    other = await alice.make("security_group", name="other")
    naming = await alice.make(
        "security_group_rule", security_group_id=other["id"], direction="ingress", remote_group_id=group["id"]
    )
    await alice("DELETE", path, status=204)
    listed = [r["id"] for r in (await alice("GET", "/security-group-rules"))["security_group_rules"]]
    assert rule["id"] not in listed
    assert naming["id"] not in listed
    await alice("GET", path, status=404)


async def test_rules_that_are_refused(alice: Caller, bob: Caller) -> None:
    group = (await alice.make("security_group", name="g"))["id"]
    theirs = (await bob.make("security_group", name="g"))["id"]
    before = (await alice("GET", f"/security-groups/{group}"))["security_group"]
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"protocol": "tcp", "port_range_min": -16, "port_range_max": 80}, 400, "Invalid value for port -16"),
        ({"protocol": "tcp", "port_range_min": 80, "port_range_max": 79}, 400, "port_range_min must be <="),
        ({"protocol": "tcp", "port_range_min": 80, "port_range_max": 65536}, 400, "Invalid value for port 65536"),
        ({"protocol": "tcp", "port_range_max": 6}, 400, "port_range_min must be <= port_range_max"),
        ({"protocol": "icmp", "port_range_min": 1, "port_range_max": 256}, 400, "Invalid value for ICMP code"),
        ({"protocol": "icmp", "port_range_min": 300}, 400, "Invalid value for ICMP type"),
        ({"protocol": "icmp", "port_range_max": 6}, 400, "ICMP type (port-range-min) is missing"),
        ({"port_range_min": 1, "port_range_max": 2}, 400, "Must also specify protocol"),
        ({"protocol": "gre", "port_range_min": 1, "port_range_max": 2}, 400, "Port range cannot be specified"),
        ({"protocol": "bad"}, 400, "not supported"),
        ({"protocol": "256"}, 400, "not supported"),
        ({"protocol": "icmpv6"}, 400, "Invalid ethertype"),
        ({"ethertype": "IPv5"}, 400, "ethertype"),
        ({"direction": "sideways"}, 400, "direction"),
        ({"remote_ip_prefix": "192.168.1./24"}, 400, "not a valid IP subnet"),
        ({"remote_ip_prefix": "2001:db8::/32"}, 400, "Conflicting value ethertype"),
        ({"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": group}, 400, "Only remote_ip_prefix or"),
        ({"remote_group_id": "nothing"}, 404, "does not exist"),
        ({"remote_group_id": theirs}, 404, "does not exist"),
        ({"security_group_id": theirs}, 404, "does not exist"),
        ({"port_range_min": 1.5, "protocol": "tcp"}, 400, "integer"),
        ({"port_range_min": True, "protocol": "tcp"}, 400, "integer"),
    ]
    for values, status, message in cases:
        body = {"security_group_id": group, "direction": "ingress", **values}
        refused = await alice("POST", "/security-group-rules", {"security_group_rule": body}, status=status)
        assert message in refused["NeutronError"]["message"], refused
    assert (await alice("GET", f"/security-groups/{group}"))["security_group"] == before


async def test_the_same_rule_twice(alice: Caller) -> None:
    group = (await alice.make("security_group", name="g"))["id"]
    first = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
    await alice("POST", "/security-group-rules", {"security_group_rule": first}, status=201)
    for same in (first, {**first, "protocol": 6}, {**first, "remote_ip_prefix": "0.0.0.0/0"}):
        refused = await alice("POST", "/security-group-rules", {"security_group_rule": same}, status=409)
        assert refused["NeutronError"]["type"] == "SecurityGroupRuleExists"
    rules = [{**first, "protocol": "udp"}, first]
    await alice("POST", "/security-group-rules", {"security_group_rules": rules}, status=409)
    assert len((await alice("GET", f"/security-group-rules?security_group_id={group}"))["security_group_rules"]) == 3


async def test_what_the_service_is(alice: Caller) -> None:
    root = await alice.http.get("/network/")
    assert [(it["id"], it["status"]) for it in root.json()["versions"]] == [("v2.0", "CURRENT")]
    names = {it["name"] for it in (await alice("GET", "", status=200))["resources"]}
    assert {"network", "subnet", "port"} <= names
    for it in (await alice("GET", "/extensions", status=200))["extensions"]:
        assert (await alice("GET", f"/extensions/{it['alias']}", status=200))["extension"] == it
    await alice("GET", "/extensions/qos", status=404)
    assert await alice("GET", "/agents", status=200) == {"agents": []}
    assert (await alice("GET", "/availability_zones"))["availability_zones"][0]["state"] == "available"
    await alice("GET", "/nothing", status=404)
    assert (await alice.http.get("/network/v2.0/ports")).status_code == 401
