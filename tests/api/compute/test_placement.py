"""Why a server is where it is, for its users and for operators, and where one would go."""

from typing import Any

import pytest

from infra.db import claims, explanations, flavors, hosts
from infra.domain.errors import ClaimLost
from infra.domain.placement import Unplaceable
from infra.scheduler.service import Scheduler
from infra.settings import SchedulerSettings
from tests.api.compute.conftest import World, boot_body
from tests.contract.hosts_help import add
from tests.unit.scheduler.worlds import request

DRY_RUN = "/v2.1/servers/placement-dry-run"


async def dry_run(world: World, *, by: str = "alice", query: str = "", **fields: Any) -> Any:
    reply = await world.call("POST", f"{DRY_RUN}{query}", boot_body(**fields), by=by, status=200)
    return reply.json()["placement_explanation"]


async def test_users_see_counts_and_operators_hosts(world: World) -> None:
    add(world.db, "full", "free")
    world.db.write_now(hosts.disable, "full")
    server_id = await world.boot()
    path = f"/servers/{server_id}/placement-explanation"
    assert (await world.get(path))["placement_explanation"] == {"server_id": server_id, "attempts": []}
    scheduler = Scheduler(world.db, SchedulerSettings())
    await scheduler.claim(request(server_id), 1)
    with pytest.raises(Unplaceable):
        await scheduler.claim(request(server_id, excluded_hosts=("free",)), 2)
    told = (await world.get(path))["placement_explanation"]
    first, second = told["attempts"]
    assert (first["attempt"], first["placed"], first["reason"], first["evaluated"]) == (1, True, None, 2)
    assert {entry["name"]: entry["removed"] for entry in first["filters"]}["ComputeFilter"] == 1
    assert second["reason"] == ("No valid host was found. Of 2 hosts ComputeFilter removed 1, RetryFilter removed 1.")
    assert not any(name in str(told) for name in ("full", "free"))
    operators = (await world.get(path, by="admin"))["placement_explanation"]["attempts"]
    assert operators[0]["chosen"] == operators[0]["best"][0]["host"] == "free"
    assert operators[0]["seed"] == server_id
    assert operators[0]["filters"][0]["hosts"] == ["full"]
    await world.call("GET", f"/v2.1{path}", by="bob", status=404)
    world.db.write_now(claims.release_all, server_id)
    assert world.db.read_now(explanations.of_server, server_id) == {}


async def test_a_claim_that_is_lost_explains_nothing(world: World) -> None:
    add(world.db, "a")
    world.db.write_now(hosts.disable, "a")
    claim = claims.Claim(server_id="s", host="a", attempt=1, vcpus=1, memory_mb=1, disk_gb=1)
    with pytest.raises(ClaimLost):
        world.db.write_now(claims.claim, claim, None, {"evaluated": 1})
    assert world.db.read_now(explanations.of_server, "s") == {}


async def test_a_dry_run_says_where_and_takes_nothing(world: World) -> None:
    add(world.db, "a", "b", "c")
    told = await dry_run(world)
    assert (told["placed"], told["evaluated"], told["remaining"], told["chosen"]) == (True, 3, 3, None)
    assert world.db.read_now(claims.everywhere) == []
    seeds = [f"?seed={number}" for number in range(8)]
    chosen = [(await dry_run(world, by="admin", query=seed))["chosen"] for seed in seeds]
    assert len(set(chosen)) > 1
    assert [(await dry_run(world, by="admin", query=seed))["chosen"] for seed in seeds] == chosen
    there = await dry_run(world, by="admin", availability_zone="nova:b")
    assert there["chosen"] == "b"
    await world.call("POST", DRY_RUN, boot_body(flavorRef="none"), status=400)
    await world.call("POST", DRY_RUN, boot_body(), by="reader", status=403)
    await world.call("POST", DRY_RUN, {"server": {}}, status=400)


async def test_a_dry_run_says_why_not(world: World) -> None:
    add(world.db, "a", "b")
    world.db.write_now(flavors.set_extra_specs, "1", {"hw:cpu_policy": "dedicated"})
    told = await dry_run(world)
    assert (told["placed"], told["shortages"]) == (False, [{"resource": "PCPU", "asked": 1, "hosts": 2, "best": 0}])
    assert told["reason"].startswith("No valid host was found. Of 2 hosts CapacityFilter removed 2 (short of PCPU")


async def test_a_flavor_that_asks_for_a_device_nobody_defined_is_refused(world: World) -> None:
    world.db.write_now(flavors.set_extra_specs, "1", {"pci_passthrough:alias": "gpu:1"})
    for path in (DRY_RUN, "/v2.1/servers"):
        reply = await world.call("POST", path, boot_body(), status=400)
        assert reply.json()["badRequest"]["message"] == "PCI alias 'gpu' is not defined."
    assert world.starts.nothing


@pytest.mark.parametrize("spec", ["pci_passthrough:alias", "hw:cpu_realtime", "quota:vif_inbound_average"])
async def test_a_flavor_that_asks_for_what_is_not_done_is_refused(world: World, spec: str) -> None:
    world.db.write_now(flavors.set_extra_specs, "1", {spec: "1"})
    for path in (DRY_RUN, "/v2.1/servers"):
        reply = await world.call("POST", path, boot_body(), status=400)
        assert spec in reply.json()["badRequest"]["message"]
    assert world.starts.nothing
