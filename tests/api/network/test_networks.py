from tests.api.network.conftest import ALICE, BOB, Caller


async def test_a_network_as_neutron_shows_it(alice: Caller) -> None:
    made = await alice.make("network", name="net", description="d")
    shown = (await alice("GET", f"/networks/{made['id']}", status=200))["network"]
    assert shown == made
    assert shown | {"id": 0, "created_at": 0, "updated_at": 0} == {
        "id": 0, "created_at": 0, "updated_at": 0, "name": "net", "description": "d", "project_id": ALICE,
        "tenant_id": ALICE, "status": "ACTIVE", "admin_state_up": True, "shared": False, "router:external": False,
        "port_security_enabled": True, "mtu": 1450, "subnets": [], "availability_zone_hints": [],
        "availability_zones": ["nova"], "ipv4_address_scope": None, "ipv6_address_scope": None, "tags": [],
        "revision_number": 0,
    }  # fmt: skip


async def test_only_administrators_see_and_set_provider_attributes(alice: Caller, admin: Caller) -> None:
    made = await admin.make("network", **{"provider:network_type": "vxlan", "provider:segmentation_id": "77"})
    assert made["provider:segmentation_id"] == 77
    await admin("POST", "/networks", {"network": {"provider:segmentation_id": 77}}, status=409)
    for attribute in ({"provider:segmentation_id": 5}, {"shared": True}, {"router:external": "true"}):
        refused = await alice("POST", "/networks", {"network": attribute}, status=403)
        assert refused["NeutronError"]["type"] == "PolicyNotAuthorized"
    assert (await alice("GET", "/networks"))["networks"] == []


async def test_another_projects_network_is_not_found(alice: Caller, bob: Caller) -> None:
    made = await alice.make("network", name="net")
    for method, body in (("GET", None), ("PUT", {"network": {"name": "x"}}), ("DELETE", None)):
        refused = await bob(method, f"/networks/{made['id']}", body, status=404)
        assert refused["NeutronError"]["type"] == "NetworkNotFound"
    assert (await bob("GET", "/networks"))["networks"] == []
    await bob(
        "POST", "/subnets", {"subnet": {"network_id": made["id"], "ip_version": 4, "cidr": "10.0.0.0/24"}}, status=404
    )
    await bob("POST", "/ports", {"port": {"network_id": made["id"]}}, status=404)


async def test_a_shared_network_can_be_seen_and_used_but_not_changed(alice: Caller, admin: Caller) -> None:
    made = await admin.make("network", shared=True)
    await admin.make("subnet", network_id=made["id"], ip_version=4, cidr="10.0.0.0/24")
    await alice("PUT", f"/networks/{made['id']}", {"network": {"name": "x"}}, status=403)
    await alice("DELETE", f"/networks/{made['id']}", status=403)
    port = await alice.make("port", network_id=made["id"])
    assert port["fixed_ips"][0]["ip_address"] == "10.0.0.3"
    for attribute in ({"mac_address": "fa:16:3e:00:00:01"}, {"fixed_ips": [{"ip_address": "10.0.0.9"}]}):
        await alice("POST", "/ports", {"port": {"network_id": made["id"], **attribute}}, status=403)
    await admin("PUT", f"/networks/{made['id']}", {"network": {"shared": False}}, status=409)


async def test_an_external_network_can_be_seen_but_not_used(alice: Caller, admin: Caller) -> None:
    made = await admin.make("network", **{"router:external": True})
    listed = await alice("GET", "/networks?router:external=True")
    assert [it["id"] for it in listed["networks"]] == [made["id"]]
    await alice("POST", "/ports", {"port": {"network_id": made["id"]}}, status=403)


async def test_a_reader_only_reads(alice: Caller, reader: Caller) -> None:
    made = await alice.make("network")
    await reader("GET", f"/networks/{made['id']}", status=200)
    await reader("POST", "/networks", {"network": {}}, status=403)
    await reader("DELETE", f"/networks/{made['id']}", status=403)


async def test_bulk_is_all_or_nothing(alice: Caller) -> None:
    made = await alice("POST", "/networks", {"networks": [{"name": "a"}, {"name": "b"}]}, status=201)
    assert [it["name"] for it in made["networks"]] == ["a", "b"]
    subnets = [{"network_id": made["networks"][n]["id"], "ip_version": 4, "cidr": "10.0.0.0/24"} for n in (0, 1, 1)]
    await alice("POST", "/subnets", {"subnets": subnets}, status=400)
    assert (await alice("GET", "/subnets"))["subnets"] == []
    await alice("POST", "/networks", {"networks": []}, status=400)


async def test_lists_filter_sort_and_page(alice: Caller) -> None:
    for name in ("c", "a", "b", "a"):
        await alice.make("network", name=name)

    async def names(query: str) -> list[str]:
        return [it["name"] for it in (await alice("GET", f"/networks?{query}", status=200))["networks"]]

    assert await names("sort_key=name&sort_dir=desc") == ["c", "b", "a", "a"]
    assert await names("name=a") == ["a", "a"]
    assert await names("name=a&name=b&sort_key=name") == ["a", "a", "b"]
    assert await names("status=DOWN") == []
    assert await names("admin_state_up=False") == []
    assert await names(f"tenant_id={BOB}") == []
    assert await names("provider:network_type=vlan") == []
    seen, url = [], "/networks?limit=2&sort_key=name"
    while url:
        page = await alice("GET", url, status=200)
        seen += [it["name"] for it in page["networks"]]
        links = {it["rel"]: it["href"] for it in page.get("networks_links", [])}
        url = links.get("next", "").partition("/v2.0")[2]
    assert seen == ["a", "a", "b", "c"]
    last = (await alice("GET", "/networks?sort_key=name"))["networks"][-1]["id"]
    assert await names(f"sort_key=name&limit=2&marker={last}&page_reverse=True") == ["a", "b"]
    only = await alice("GET", "/networks?fields=id&fields=name&limit=1")
    assert set(only["networks"][0]) == {"id", "name"}


async def test_bad_lists_are_refused(alice: Caller) -> None:
    for query in (
        "colour=red", "limit=-1", "limit=x", "marker=nothing", "sort_key=colour", "sort_key=name&sort_dir=up",
        "admin_state_up=maybe", "name=%00", "mtu=big", "sort_dir=asc", "page_reverse=5",
    ):  # fmt: skip
        await alice("GET", f"/networks?{query}", status=400)
    await alice("GET", "/networks/%00", status=400)


async def test_an_update_is_a_revision(alice: Caller) -> None:
    made = await alice.make("network", name="a")
    changed = await alice("PUT", f"/networks/{made['id']}", {"network": {"name": "b", "mtu": 1400}}, status=200)
    assert (changed["network"]["name"], changed["network"]["mtu"]) == ("b", 1400)
    assert changed["network"]["revision_number"] == 1
    await alice("PUT", f"/networks/{made['id']}", {"network": {"mtu": 9000}}, status=400)


async def test_quota(alice: Caller, admin: Caller, bob: Caller) -> None:
    changed = await admin("PUT", f"/quotas/{ALICE}", {"quota": {"network": 1}}, status=200)
    assert changed["quota"]["network"] == 1
    await alice.make("network")
    refused = await alice("POST", "/networks", {"network": {}}, status=409)
    assert refused["NeutronError"]["type"] == "OverQuota"
    details = await alice("GET", f"/quotas/{ALICE}/details", status=200)
    assert details["quota"]["network"] == {"limit": 1, "used": 1, "reserved": 0}
    await bob("GET", f"/quotas/{ALICE}", status=403)
    await alice("PUT", f"/quotas/{ALICE}", {"quota": {"network": 9}}, status=403)
    await admin("DELETE", f"/quotas/{ALICE}", status=204)
    await alice.make("network")


async def test_tags(alice: Caller, bob: Caller) -> None:
    path = f"/networks/{(await alice.make('network'))['id']}"
    await alice("PUT", f"{path}/tags/red", status=201)
    assert await alice("PUT", f"{path}/tags", {"tags": ["blue", "red", "blue"]}, status=200) == {
        "tags": ["blue", "red"]
    }
    await alice("GET", f"{path}/tags/red", status=204)
    assert len((await alice("GET", "/networks?tags=red,blue"))["networks"]) == 1
    assert (await alice("GET", "/networks?tags=red,green"))["networks"] == []
    assert len((await alice("GET", "/networks?tags-any=red,green"))["networks"]) == 1
    assert (await alice("GET", "/networks?not-tags-any=red,green"))["networks"] == []
    await alice("DELETE", f"{path}/tags/red", status=204)
    await alice("GET", f"{path}/tags/red", status=404)
    await bob("GET", f"{path}/tags", status=404)
    await alice("DELETE", f"{path}/tags", status=204)
    assert await alice("GET", f"{path}/tags") == {"tags": []}
    await alice("PUT", f"{path}/tags", {"tags": ["x" * 256]}, status=400)
    await alice("GET", "/pizzas/1/tags", status=404)
