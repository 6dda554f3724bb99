"""Routers: interfaces at gateway addresses, external gateways, routes, and what is refused while it is used."""

from typing import Any

from tests.api.network.conftest import ALICE, BOB, Caller, Net, refused, subnet_of


async def test_a_router_as_neutron_shows_it(alice: Caller, outside: Net) -> None:
    made = await alice.make("router", name="r", external_gateway_info={"network_id": outside["id"]})
    assert (await alice("GET", f"/routers/{made['id']}", status=200))["router"] == made
    gateway = made.pop("external_gateway_info")
    (address,) = gateway.pop("external_fixed_ips")
    assert address["ip_address"].startswith("203.0.113.")
    assert gateway == {"network_id": outside["id"], "enable_snat": True}
    varying = ("id", "created_at", "updated_at", "revision_number")
    assert {k: v for k, v in made.items() if k not in varying} == {
        "name": "r", "description": "", "project_id": ALICE, "tenant_id": ALICE, "admin_state_up": True,
        "status": "ACTIVE", "routes": [], "availability_zone_hints": [], "availability_zones": ["nova"],
        "flavor_id": None, "tags": [],
    }  # fmt: skip
    changed = (await alice("PUT", f"/routers/{made['id']}", {"router": {"admin_state_up": False}}, status=200))[
        "router"
    ]
    assert not changed["admin_state_up"]
    assert [it["id"] for it in (await alice("GET", "/routers?admin_state_up=False"))["routers"]] == [made["id"]]
    await alice("DELETE", f"/routers/{made['id']}", status=204)
    assert await refused(alice, "GET", f"/routers/{made['id']}", None, 404) == "RouterNotFound"


async def test_another_projects_router_is_not_found(alice: Caller, bob: Caller, reader: Caller, inside: Net) -> None:
    path = f"/routers/{(await alice.make('router'))['id']}"
    for method, rest, body in (
        ("GET", "", None),
        ("PUT", "", {"router": {"name": "x"}}),
        ("PUT", "/add_router_interface", {"subnet_id": inside["subnet"]}),
        ("DELETE", "", None),
        ("GET", "/tags", None),
    ):
        assert await refused(bob, method, f"{path}{rest}", body, 404) == "RouterNotFound"
    assert (await bob("GET", "/routers"))["routers"] == []
    mine = await bob.make("router")
    body = {"subnet_id": inside["subnet"]}
    assert await refused(bob, "PUT", f"/routers/{mine['id']}/add_router_interface", body, 404) == "SubnetNotFound"
    await reader("DELETE", path, status=403)


async def test_an_interface_is_at_the_subnets_gateway_address(alice: Caller, inside: Net) -> None:
    router = (await alice.make("router"))["id"]
    path = f"/routers/{router}"
    added = await alice("PUT", f"{path}/add_router_interface", {"subnet_id": inside["subnet"]}, status=200)
    assert added == {
        "id": router, "project_id": ALICE, "tenant_id": ALICE, "network_id": inside["id"],
        "subnet_id": inside["subnet"], "subnet_ids": [inside["subnet"]], "port_id": added["port_id"],
    }  # fmt: skip
    (port,) = (await alice("GET", f"/ports?device_id={router}"))["ports"]
    assert (port["id"], port["device_owner"]) == (added["port_id"], "network:router_interface")
    assert [ip["ip_address"] for ip in port["fixed_ips"]] == ["10.0.0.1"]
    assert (port["security_groups"], port["port_security_enabled"]) == ([], False)
    assert await refused(alice, "DELETE", f"/ports/{port['id']}", None, 409) == "ServicePortInUse"
    assert await refused(alice, "DELETE", f"/subnets/{inside['subnet']}", None, 409) == "SubnetInUse"
    assert await refused(alice, "DELETE", f"/networks/{inside['id']}", None, 409) == "NetworkInUse"
    assert await refused(alice, "DELETE", path, None, 409) == "RouterInUse"
    moved = {"subnet": {"gateway_ip": "10.0.0.254"}}
    assert await refused(alice, "PUT", f"/subnets/{inside['subnet']}", moved, 409) == "GatewayIpInUse"
    removed = await alice("PUT", f"{path}/remove_router_interface", {"port_id": port["id"]}, status=200)
    assert removed == added
    assert (await alice("GET", f"/ports?device_id={router}"))["ports"] == []
    await alice("DELETE", path, status=204)


async def test_interfaces_that_do_not_fit(alice: Caller, inside: Net) -> None:
    path = f"/routers/{(await alice.make('router'))['id']}"
    other = await subnet_of(alice, "10.0.0.128/25")
    bare = await alice.make("subnet", network_id=other["id"], ip_version=4, cidr="10.9.0.0/24", gateway_ip=None)
    await alice("PUT", f"{path}/add_router_interface", {"subnet_id": inside["subnet"]}, status=200)
    port = await alice.make("port", network_id=inside["id"])
    empty = await alice.make("port", network_id=inside["id"], fixed_ips=[])
    taken = await alice.make("port", network_id=inside["id"], device_id="something")
    for body, status, kind in (
        ({"subnet_id": inside["subnet"]}, 400, "BadRequest"),
        ({"subnet_id": other["subnet"]}, 400, "BadRequest"),
        ({"subnet_id": bare["id"]}, 400, "BadRequest"),
        ({"port_id": port["id"]}, 400, "BadRequest"),
        ({"port_id": empty["id"]}, 400, "BadRequest"),
        ({"port_id": taken["id"]}, 409, "PortInUse"),
        ({"port_id": port["id"], "subnet_id": inside["subnet"]}, 400, "BadRequest"),
        ({}, 400, "BadRequest"),
        ({"port_id": "nothing"}, 404, "PortNotFound"),
        ({"subnet_id": "nothing"}, 404, "SubnetNotFound"),
    ):
        assert await refused(alice, "PUT", f"{path}/add_router_interface", body, status) == kind, body
    for body, kind in (
        ({"port_id": port["id"]}, "RouterInterfaceNotFound"),
        ({"subnet_id": other["subnet"]}, "RouterInterfaceNotFoundForSubnet"),
    ):
        assert await refused(alice, "PUT", f"{path}/remove_router_interface", body, 404) == kind
    shown = (await alice("GET", f"/ports/{port['id']}"))["port"]
    assert (shown["device_id"], shown["device_owner"]) == ("", "")


async def test_a_port_becomes_an_interface_and_keeps_its_subnets_apart(alice: Caller, inside: Net) -> None:
    path = f"/routers/{(await alice.make('router'))['id']}"
    wider = await alice.make("subnet", network_id=inside["id"], ip_version=4, cidr="10.8.0.0/24")
    other = await subnet_of(alice, "10.8.0.0/16")
    await alice("PUT", f"{path}/add_router_interface", {"subnet_id": other["subnet"]}, status=200)
    port = await alice.make("port", network_id=inside["id"], fixed_ips=[{"ip_address": "10.0.0.9"}])
    added = await alice("PUT", f"{path}/add_router_interface", {"port_id": port["id"]}, status=200)
    assert (added["port_id"], added["subnet_ids"]) == (port["id"], [inside["subnet"]])
    shown = (await alice("GET", f"/ports/{port['id']}"))["port"]
    assert (shown["device_owner"], shown["security_groups"]) == ("network:router_interface", [])
    change = {"port": {"fixed_ips": [{"ip_address": "10.0.0.10"}]}}
    await alice("PUT", f"/ports/{port['id']}", change, status=200)
    change = {"port": {"fixed_ips": [{"subnet_id": wider["id"]}]}}
    assert await refused(alice, "PUT", f"/ports/{port['id']}", change, 400) == "BadRequest"
    await alice("PUT", f"/ports/{port['id']}", {"port": {"device_id": "x"}}, status=403)


async def test_a_gateway_that_does_not_fit(alice: Caller, admin: Caller, inside: Net, outside: Net) -> None:
    router = await alice.make("router")
    path = f"/routers/{router['id']}"
    without = await admin.make("network", **{"router:external": True})
    for caller, info, status, kind in (
        (alice, {"network_id": "nothing"}, 404, "NetworkNotFound"),
        (alice, {"network_id": inside["id"]}, 400, "BadRequest"),
        (alice, {"network_id": without["id"]}, 400, "BadRequest"),
        (alice, {"network_id": outside["id"], "enable_snat": False}, 403, "PolicyNotAuthorized"),
        (alice, {"network_id": outside["id"], "external_fixed_ips": []}, 403, "PolicyNotAuthorized"),
        (
            admin,
            {"network_id": outside["id"], "external_fixed_ips": [{"ip_address": "203.0.113.1"}]},
            409,
            "IpAddressInUse",
        ),
    ):
        body = {"router": {"external_gateway_info": info}}
        assert await refused(caller, "PUT", path, body, status) == kind, info
        assert await refused(caller, "POST", "/routers", body, status) == kind, info
    assert (await alice("GET", path))["router"] == router
    assert (await admin("GET", f"/ports?network_id={outside['id']}&device_owner=network:router_gateway"))["ports"] == []


async def test_a_gateway_is_set_changed_and_taken_away(alice: Caller, admin: Caller, outside: Net) -> None:
    path = f"/routers/{(await alice.make('router'))['id']}"

    async def put(caller: Caller, info: Any) -> Any:
        body = {"router": {"external_gateway_info": info}}
        return (await caller("PUT", path, body, status=200))["router"]["external_gateway_info"]

    async def ports(caller: Caller) -> list[list[str]]:
        listed = (await caller("GET", "/ports?device_owner=network:router_gateway"))["ports"]
        return [[ip["ip_address"] for ip in port["fixed_ips"]] for port in listed]

    first = await put(alice, {"network_id": outside["id"]})
    assert first["enable_snat"]
    assert await ports(admin) == [[first["external_fixed_ips"][0]["ip_address"]]]
    assert await ports(alice) == [], "the gateway's port is nobody's"
    assert await put(alice, {"network_id": outside["id"]}) == first, "it keeps its address"
    wanted = {"subnet_id": outside["subnet"], "ip_address": "203.0.113.77"}
    full = {"network_id": outside["id"], "enable_snat": False, "external_fixed_ips": [wanted]}
    assert await put(admin, full) == full
    assert await ports(admin) == [["203.0.113.77"]]
    assert await put(alice, {}) is None
    assert await ports(admin) == []
    assert (await put(alice, {"network_id": outside["id"]}))["enable_snat"]
    used = {"network": {"router:external": False}}
    assert await refused(admin, "PUT", f"/networks/{outside['id']}", used, 409) == "ExternalNetworkInUse"
    assert await refused(admin, "DELETE", f"/networks/{outside['id']}", None, 409) == "NetworkInUse"


async def test_routes(alice: Caller, inside: Net) -> None:
    path = f"/routers/{(await alice.make('router'))['id']}"
    await alice("PUT", f"{path}/add_router_interface", {"subnet_id": inside["subnet"]}, status=200)
    for hop in ("10.1.0.1", "10.0.0.1"):
        body = {"router": {"routes": [{"destination": "172.16.0.0/16", "nexthop": hop}]}}
        assert await refused(alice, "PUT", path, body, 400) == "InvalidRoutes"
    routes = [{"destination": "172.16.0.0/16", "nexthop": "10.0.0.9"}]
    body = {"router": {"routes": routes}}
    assert (await alice("PUT", path, body, status=200))["router"]["routes"] == routes
    named = {"subnet_id": inside["subnet"]}
    assert await refused(alice, "PUT", f"{path}/remove_router_interface", named, 409) == "RouterInterfaceInUseByRoute"
    more = [*routes, {"destination": "172.17.0.0/16", "nexthop": "10.0.0.9"}]
    added = (await alice("PUT", f"{path}/add_extraroutes", {"router": {"routes": more}}, status=200))["router"]
    assert added["routes"] == more
    many = [{"destination": f"172.18.{n}.0/24", "nexthop": "10.0.0.9"} for n in range(29)]
    body = {"router": {"routes": many}}
    assert await refused(alice, "PUT", f"{path}/add_extraroutes", body, 400) == "RoutesExhausted"
    removed = await alice("PUT", f"{path}/remove_extraroutes", {"router": {"routes": [*more, many[0]]}}, status=200)
    assert removed["router"]["routes"] == []
    await alice("PUT", f"{path}/remove_router_interface", named, status=200)


async def test_a_shared_networks_gateway_address_is_its_owners(alice: Caller, admin: Caller) -> None:
    shared = await subnet_of(admin, "10.0.0.0/24", shared=True)
    path = f"/routers/{(await alice.make('router'))['id']}/add_router_interface"
    await alice("PUT", path, {"subnet_id": shared["subnet"]}, status=403)
    port = await alice.make("port", network_id=shared["id"])
    await alice("PUT", path, {"port_id": port["id"]}, status=200)


async def test_quota_and_tags(alice: Caller, admin: Caller, bob: Caller) -> None:
    await admin("PUT", f"/quotas/{ALICE}", {"quota": {"router": 1}}, status=200)
    router = await alice.make("router")
    assert await refused(alice, "POST", "/routers", {"router": {}}, 409) == "OverQuota"
    details = (await alice("GET", f"/quotas/{ALICE}/details"))["quota"]
    assert details["router"] == {"limit": 1, "used": 1, "reserved": 0}
    assert (await bob("GET", f"/quotas/{BOB}"))["quota"]["floatingip"] == 50
    await alice("PUT", f"/routers/{router['id']}/tags", {"tags": ["red"]}, status=200)
    assert [it["id"] for it in (await alice("GET", "/routers?tags=red"))["routers"]] == [router["id"]]
