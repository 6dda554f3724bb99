"""The Placement API as osc-placement uses it, over real hosts and claims."""

from typing import Any

import httpx
import pytest

from infra.db import claims
from infra.db.engine import Database
from tests.api.placement.conftest import A, B, Caller
from tests.contract.hosts_help import claim


def _names(reply: dict[str, Any]) -> list[str]:
    return [provider["name"] for provider in reply["resource_providers"]]


async def test_versions_are_told_without_a_token(http: httpx.AsyncClient) -> None:
    reply = await http.get("/placement/")
    (version,) = reply.json()["versions"]
    assert (version["id"], version["min_version"], version["max_version"]) == ("v1.0", "1.0", "1.39")


@pytest.mark.parametrize(
    ("asked", "answered"),
    [("placement 1.14", "1.14"), ("placement latest", "1.39"), ("compute 2.1, placement 1.2", "1.2"), ("", "1.0")],
)
async def test_the_version_is_echoed(http: httpx.AsyncClient, asked: str, answered: str) -> None:
    reply = await http.get("/placement/", headers={"OpenStack-API-Version": asked})
    assert reply.headers["openstack-api-version"] == f"placement {answered}"


async def test_an_unknown_version_is_406_with_the_range_and_garbage_is_400(admin: Caller) -> None:
    (error,) = (await admin("/resource_providers", status=406, version="1.40"))["errors"]
    assert (error["status"], error["min_version"], error["max_version"]) == (406, "1.0", "1.39")
    await admin("/resource_providers", status=400, version="one")


async def test_only_administrators_and_services_see_providers(http: httpx.AsyncClient, world: Database) -> None:
    await Caller(http, None)("/resource_providers", status=401)
    await Caller(http, "forged")("/resource_providers", status=401)
    (error,) = (await Caller(http, "member")("/resource_providers", status=403))["errors"]
    assert error["status"] == 403
    for path in ("/resource_classes", "/traits", "/allocations/s1", "/allocation_candidates?resources=VCPU:1"):
        await Caller(http, "member")(path, status=403)
    assert _names(await Caller(http, "worker")("/resource_providers")) == ["a", "b"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["a", "b"]),
        ("?name=a", ["a"]),
        (f"?uuid={B}", ["b"]),
        (f"?in_tree={A}", ["a"]),
        ("?resources=VCPU:4,MEMORY_MB:8192", ["b"]),
        ("?resources=VCPU:5", []),
        ("?required=CUSTOM_GOLD", ["a"]),
        ("?required=!COMPUTE_STATUS_DISABLED", ["a"]),
        ("?required=in:CUSTOM_GOLD,COMPUTE_STATUS_DISABLED", ["a", "b"]),
        ("?required=CUSTOM_GOLD&required=COMPUTE_STATUS_DISABLED", []),
    ],
)
async def test_providers_are_filtered(admin: Caller, world: Database, query: str, names: list[str]) -> None:
    assert _names(await admin(f"/resource_providers{query}")) == names


async def test_providers_are_filtered_by_aggregate(admin: Caller, world: Database) -> None:
    (uuid,) = (await admin(f"/resource_providers/{A}/aggregates"))["aggregates"]
    assert _names(await admin(f"/resource_providers?member_of=in:{uuid}")) == ["a"]
    assert _names(await admin(f"/resource_providers?member_of=!{uuid}")) == ["b"]


@pytest.mark.parametrize(
    "query",
    [
        "resources=VCPU",
        "resources=VCPU:0",
        "resources=FPGA:1",
        "required=lower",
        "member_of=here",
        "colour=red",
        "name=%00",
    ],
)
async def test_bad_queries_are_refused(admin: Caller, world: Database, query: str) -> None:
    (error,) = (await admin(f"/resource_providers?{query}", status=400))["errors"]
    assert error["status"] == 400


async def test_a_provider_shows_what_its_version_knows(admin: Caller, world: Database) -> None:
    old = await admin(f"/resource_providers/{A}", version="1.0")
    assert sorted(old) == ["generation", "links", "name", "uuid"]
    assert [link["rel"] for link in old["links"]] == ["self", "inventories", "usages"]
    new = await admin(f"/resource_providers/{A}")
    assert (new["root_provider_uuid"], new["parent_provider_uuid"]) == (A, None)
    await admin("/resource_providers/unknown", status=404)
    await admin(f"/resource_providers/{A}/traits", status=404, version="1.5")
    await admin("/resource_providers?required=CUSTOM_GOLD", status=400, version="1.17")


async def test_inventories_and_usages(admin: Caller, world: Database) -> None:
    shown = (await admin(f"/resource_providers/{A}/inventories"))["inventories"]
    assert shown["VCPU"] == {
        "total": 4,
        "reserved": 0,
        "min_unit": 1,
        "max_unit": 4,
        "step_size": 1,
        "allocation_ratio": 2.0,
    }
    one = await admin(f"/resource_providers/{A}/inventories/MEMORY_MB")
    assert one["total"] == 8192
    await admin(f"/resource_providers/{A}/inventories/FPGA", status=404)
    usages = (await admin(f"/resource_providers/{A}/usages"))["usages"]
    assert usages == {"VCPU": 2, "MEMORY_MB": 1024, "DISK_GB": 10}


async def test_allocations_of_a_consumer_and_of_a_provider(admin: Caller, world: Database) -> None:
    shown = await admin("/allocations/s1")
    resources = {"VCPU": 2, "MEMORY_MB": 1024, "DISK_GB": 10}
    assert shown["allocations"][A]["resources"] == resources
    assert (shown["project_id"], shown["user_id"], shown["consumer_generation"]) == ("p", "u", 1)
    assert await admin("/allocations/nobody") == {"allocations": {}}
    assert (await admin(f"/resource_providers/{A}/allocations"))["allocations"]["s1"]["resources"] == resources


async def test_allocations_of_a_living_server_stay_and_those_of_a_gone_one_go(admin: Caller, world: Database) -> None:
    await admin("/allocations/s1", method="DELETE", status=409)
    world.write_now(claims.claim, claim("gone", "a"))
    await admin("/allocations/gone", method="DELETE", status=204)
    assert world.read_now(claims.of_server, "gone") == []
    await admin("/allocations/gone", method="DELETE", status=404)
    assert len(world.read_now(claims.of_server, "s1")) == 1


async def test_candidates_are_hosts_with_room(admin: Caller, world: Database) -> None:
    shown = await admin("/allocation_candidates?resources=VCPU:1,DISK_GB:95")
    (candidate,) = shown["allocation_requests"]
    assert candidate == {"allocations": {B: {"resources": {"VCPU": 1, "DISK_GB": 95}}}, "mappings": {"": [B]}}
    assert shown["provider_summaries"][B]["resources"]["VCPU"] == {"capacity": 8, "used": 0}
    assert len((await admin("/allocation_candidates?resources=VCPU:1&limit=1"))["allocation_requests"]) == 1
    old = await admin("/allocation_candidates?resources=VCPU:1", version="1.10")
    assert old["allocation_requests"][0]["allocations"][0]["resource_provider"] == {"uuid": A}
    await admin("/allocation_candidates", status=400)
    await admin("/allocation_candidates?resources=VCPU:1", status=404, version="1.9")


async def test_names_of_classes_and_traits(admin: Caller, world: Database) -> None:
    shown = await admin("/resource_classes")
    assert [entry["name"] for entry in shown["resource_classes"]] == ["VCPU", "MEMORY_MB", "DISK_GB", "PCPU"]
    await admin("/resource_classes/FPGA", status=404)
    assert (await admin("/traits"))["traits"] == ["COMPUTE_STATUS_DISABLED", "CUSTOM_GOLD"]
    assert (await admin("/traits?name=startswith:CUSTOM"))["traits"] == ["CUSTOM_GOLD"]
    await admin("/traits/CUSTOM_GOLD", status=204)
    await admin("/traits/CUSTOM_LEAD", status=404)


async def test_a_project_sees_its_own_usages_only(http: httpx.AsyncClient, admin: Caller, world: Database) -> None:
    member = Caller(http, "member")
    own = {"VCPU": 2, "MEMORY_MB": 1024, "DISK_GB": 10}
    assert await member("/usages?project_id=p", version="1.9") == {"usages": own}
    assert await member("/usages?project_id=p") == {"usages": {"INSTANCE": {"consumer_count": 1, **own}}}
    await member("/usages?project_id=q", status=403)
    assert await admin("/usages?project_id=p&user_id=other") == {"usages": {}}
    await admin("/usages", status=400)


async def test_nothing_can_be_written_but_leftovers_removed(admin: Caller, world: Database) -> None:
    await admin("/resource_providers", method="POST", status=405)
    await admin(f"/resource_providers/{A}", method="DELETE", status=405)
