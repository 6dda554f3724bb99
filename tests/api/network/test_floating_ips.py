"""Floating IPs: held, led to ports through a router, and given back."""

from typing import Any

import pytest

from tests.api.network.conftest import ALICE, Caller, Net, refused, subnet_of


@pytest.fixture
async def router(alice: Caller, inside: Net, outside: Net) -> str:
    """Between the two."""
    made = await alice.make("router", external_gateway_info={"network_id": outside["id"]})
    body = {"subnet_id": inside["subnet"]}
    await alice("PUT", f"/routers/{made['id']}/add_router_interface", body, status=200)
    return str(made["id"])


async def test_a_floating_ip_as_neutron_shows_it(alice: Caller, outside: Net) -> None:
    made = await alice.make("floatingip", floating_network_id=outside["id"], description="d")
    assert (await alice("GET", f"/floatingips/{made['id']}", status=200))["floatingip"] == made
    assert made["floating_ip_address"].startswith("203.0.113.")
    varying = ("id", "created_at", "updated_at", "floating_ip_address")
    assert {k: v for k, v in made.items() if k not in varying} == {
        "description": "d", "project_id": ALICE, "tenant_id": ALICE, "floating_network_id": outside["id"],
        "port_id": None, "fixed_ip_address": None, "router_id": None, "status": "DOWN", "tags": [],
        "revision_number": 0,
    }  # fmt: skip
    await alice("DELETE", f"/floatingips/{made['id']}", status=204)
    assert await refused(alice, "GET", f"/floatingips/{made['id']}", None, 404) == "FloatingIPNotFound"
    again = await alice.make("floatingip", floating_network_id=outside["id"])
    assert again["floating_ip_address"] == made["floating_ip_address"], "its address is free again"


async def test_it_leads_to_a_port_then_another_then_nowhere(
    alice: Caller, inside: Net, outside: Net, router: str
) -> None:
    first, second = [await alice.make("port", network_id=inside["id"]) for _ in range(2)]
    made = await alice.make("floatingip", floating_network_id=outside["id"], port_id=first["id"])

    def leads(port: Any) -> dict[str, Any]:
        address = port and port["fixed_ips"][0]["ip_address"]
        status = "ACTIVE" if port else "DOWN"
        to = {"port_id": port and port["id"], "fixed_ip_address": address}
        return {**to, "router_id": port and router, "status": status}

    assert made.items() >= leads(first).items()
    path = f"/floatingips/{made['id']}"
    for port in (second, None, first):
        body = {"floatingip": {"port_id": port and port["id"]}}
        assert (await alice("PUT", path, body, status=200))["floatingip"].items() >= leads(port).items()
    told = {"floatingip": {"description": "told"}}
    assert (await alice("PUT", path, told, status=200))["floatingip"].items() >= leads(first).items()
    listed = await alice("GET", f"/floatingips?port_id={first['id']}&status=ACTIVE&router_id={router}")
    assert [it["id"] for it in listed["floatingips"]] == [made["id"]]
    await alice("DELETE", f"/ports/{first['id']}", status=204)
    assert (await alice("GET", path))["floatingip"].items() >= leads(None).items()


async def test_one_of_several_fixed_addresses(alice: Caller, inside: Net, outside: Net, router: str) -> None:
    wishes = [{"ip_address": "10.0.0.20"}, {"ip_address": "10.0.0.21"}]
    port = await alice.make("port", network_id=inside["id"], fixed_ips=wishes)
    base = {"floating_network_id": outside["id"], "port_id": port["id"]}
    assert await refused(alice, "POST", "/floatingips", {"floatingip": base}, 400) == "BadRequest"
    for address in ("10.0.0.22", "10.0.0.21"):
        body = {"floatingip": {**base, "fixed_ip_address": address}}
        await alice("POST", "/floatingips", body, status=400 if address == "10.0.0.22" else 201)
    body = {"floatingip": {**base, "fixed_ip_address": "10.0.0.21"}}
    assert await refused(alice, "POST", "/floatingips", body, 409) == "FloatingIPPortAlreadyAssociated"
    (made,) = (await alice("GET", "/floatingips"))["floatingips"]
    changed = {"floatingip": {"port_id": port["id"], "fixed_ip_address": "10.0.0.20"}}
    shown = (await alice("PUT", f"/floatingips/{made['id']}", changed, status=200))["floatingip"]
    assert shown["fixed_ip_address"] == "10.0.0.20"
    kept = {"port": {"fixed_ips": [{"ip_address": "10.0.0.21"}]}}
    assert await refused(alice, "PUT", f"/ports/{port['id']}", kept, 400) == "BadRequest"


async def test_what_it_needs_stays(alice: Caller, admin: Caller, inside: Net, outside: Net, router: str) -> None:
    port = await alice.make("port", network_id=inside["id"])
    made = await alice.make("floatingip", floating_network_id=outside["id"], port_id=port["id"])
    for path, body, kind in (
        ("remove_router_interface", {"subnet_id": inside["subnet"]}, "RouterInterfaceInUseByFloatingIP"),
        ("", {"router": {"external_gateway_info": {}}}, "RouterExternalGatewayInUseByFloatingIp"),
    ):
        assert await refused(alice, "PUT", f"/routers/{router}/{path}".rstrip("/"), body, 409) == kind
    assert await refused(admin, "DELETE", f"/subnets/{outside['subnet']}", None, 409) == "SubnetInUse"
    wish = {"network_id": outside["id"], "fixed_ips": [{"ip_address": made["floating_ip_address"]}]}
    assert await refused(admin, "POST", "/ports", {"port": wish}, 409) == "IpAddressInUse"
    await alice("PUT", f"/floatingips/{made['id']}", {"floatingip": {"port_id": None}}, status=200)
    body = {"subnet_id": inside["subnet"]}
    await alice("PUT", f"/routers/{router}/remove_router_interface", body, status=200)


async def test_it_moves_to_another_router(alice: Caller, inside: Net, outside: Net, router: str) -> None:
    other = await subnet_of(alice, "10.2.0.0/24")
    second = await alice.make("router", external_gateway_info={"network_id": outside["id"]})
    body = {"subnet_id": other["subnet"]}
    await alice("PUT", f"/routers/{second['id']}/add_router_interface", body, status=200)
    ports = [await alice.make("port", network_id=net["id"]) for net in (inside, other)]
    made = await alice.make("floatingip", floating_network_id=outside["id"], port_id=ports[0]["id"])
    body = {"floatingip": {"port_id": ports[1]["id"]}}
    moved = (await alice("PUT", f"/floatingips/{made['id']}", body, status=200))["floatingip"]
    assert (made["router_id"], moved["router_id"]) == (router, second["id"])


async def test_what_can_not_be_led_to(alice: Caller, bob: Caller, admin: Caller, inside: Net, outside: Net) -> None:
    port = await alice.make("port", network_id=inside["id"])
    base = {"floating_network_id": outside["id"]}
    for caller, values, status, kind in (
        (alice, {**base, "port_id": port["id"]}, 404, "ExternalGatewayForFloatingIPNotFound"),
        (bob, {**base, "port_id": port["id"]}, 404, "PortNotFound"),
        (admin, {**base, "port_id": "nothing"}, 404, "PortNotFound"),
        (alice, {"floating_network_id": inside["id"]}, 400, "BadRequest"),
        (alice, {"floating_network_id": "nothing"}, 404, "NetworkNotFound"),
        (alice, {**base, "fixed_ip_address": "10.0.0.3"}, 400, "BadRequest"),
        (alice, {**base, "floating_ip_address": "203.0.113.9"}, 403, "PolicyNotAuthorized"),
        (admin, {**base, "floating_ip_address": "203.0.113.1"}, 409, "IpAddressInUse"),
        (admin, {**base, "floating_ip_address": "10.0.0.9"}, 400, "InvalidIpForNetwork"),
        (alice, {**base, "subnet_id": inside["subnet"]}, 400, "InvalidInput"),
    ):
        assert await refused(caller, "POST", "/floatingips", {"floatingip": values}, status) == kind, values
    assert (await admin("GET", "/floatingips"))["floatingips"] == []
    assert (await admin("GET", "/ports?device_owner=network:floatingip"))["ports"] == []


async def test_administrators_choose_and_see_all(alice: Caller, bob: Caller, admin: Caller, outside: Net) -> None:
    base = {"floating_network_id": outside["id"]}
    chosen = await admin.make("floatingip", **base, floating_ip_address="203.0.113.9")
    assert chosen["floating_ip_address"] == "203.0.113.9"
    mine = await alice.make("floatingip", **base, subnet_id=outside["subnet"])
    assert await refused(bob, "GET", f"/floatingips/{mine['id']}", None, 404) == "FloatingIPNotFound"
    assert [it["id"] for it in (await alice("GET", "/floatingips"))["floatingips"]] == [mine["id"]]
    assert {it["id"] for it in (await admin("GET", "/floatingips"))["floatingips"]} == {chosen["id"], mine["id"]}


async def test_an_external_network_goes_with_floating_ips_that_lead_nowhere(
    alice: Caller, admin: Caller, outside: Net
) -> None:
    await alice.make("floatingip", floating_network_id=outside["id"])
    await admin("DELETE", f"/networks/{outside['id']}", status=204)
    assert (await alice("GET", "/floatingips"))["floatingips"] == []


async def test_quota_and_tags(alice: Caller, admin: Caller, outside: Net) -> None:
    await admin("PUT", f"/quotas/{ALICE}", {"quota": {"floatingip": 1}}, status=200)
    made = await alice.make("floatingip", floating_network_id=outside["id"])
    body = {"floatingip": {"floating_network_id": outside["id"]}}
    assert await refused(alice, "POST", "/floatingips", body, 409) == "OverQuota"
    await alice("PUT", f"/floatingips/{made['id']}/tags/red", status=201)
    assert (await alice("GET", "/floatingips?tags=red"))["floatingips"][0]["tags"] == ["red"]
