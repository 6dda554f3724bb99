"""Inventories as osc-placement sets them: kept over reports, looked at by the scheduler, claims and candidates."""

from typing import Any

import httpx
import pytest

from infra.db import claims, hosts
from infra.db.engine import Database
from infra.domain.errors import ClaimLost
from infra.scheduler.service import Scheduler
from infra.settings import SchedulerSettings
from tests.api.placement.conftest import A, Caller
from tests.contract.hosts_help import INVENTORY, add, claim, gpus, report
from tests.unit.scheduler.worlds import request

PATH = f"/resource_providers/{A}/inventories"


async def inventories(admin: Caller) -> Any:
    return await admin(PATH)


async def set_one(admin: Caller, name: str, *, status: int = 200, version: str = "1.39", **fields: Any) -> Any:
    """As ``openstack resource provider inventory class set``: the generation of now, and what was said."""
    generation = (await inventories(admin))["resource_provider_generation"]
    body = {"resource_provider_generation": generation, **fields}
    return await admin(f"{PATH}/{name}", method="PUT", json=body, status=status, version=version)


async def amend(admin: Caller, name: str, *, status: int = 200, **fields: Any) -> Any:
    """As ``openstack resource provider inventory set --amend``: all there is, with some fields changed."""
    body = await inventories(admin)
    body["inventories"].setdefault(name, {}).update(fields)
    return await admin(PATH, method="PUT", json=body, status=status)


async def test_a_class_is_given_out_on_the_terms_that_were_set(admin: Caller, database: Database) -> None:
    add(database, "a")
    before = await inventories(admin)
    shown = await set_one(admin, "VCPU", total=4, max_unit=2, step_size=2, min_unit=2, allocation_ratio=1.5, reserved=1)
    assert shown.pop("resource_provider_generation") == before["resource_provider_generation"] + 1
    terms = {"total": 4, "reserved": 1, "min_unit": 2, "max_unit": 2, "step_size": 2, "allocation_ratio": 1.5}
    assert shown == terms
    after = (await inventories(admin))["inventories"]
    assert after == before["inventories"] | {"VCPU": terms}
    # What is not said has Placement's defaults.
    shown = await set_one(admin, "VCPU", total=4)
    assert (shown["max_unit"], shown["allocation_ratio"], shown["reserved"]) == (2**31 - 1, 1.0, 0)


async def test_what_is_amended_stays_and_the_rest_goes_on_as_reported(admin: Caller, database: Database) -> None:
    add(database, "a")
    await amend(admin, "MEMORY_MB", reserved=4096)
    generation = (await inventories(admin))["resource_provider_generation"]
    bigger = INVENTORY.model_copy(update={"vcpus": 8, "memory_mb": 16384, "cpu_allocation_ratio": 3.0})
    for say in (hosts.report, hosts.enrol):
        database.write_now(say, report("a", inventory=bigger))
        shown = await inventories(admin)
        assert shown["resource_provider_generation"] > generation
        memory, cpus = shown["inventories"]["MEMORY_MB"], shown["inventories"]["VCPU"]
        assert (memory["total"], memory["reserved"], memory["max_unit"]) == (16384, 4096, 16384)
        assert (cpus["total"], cpus["max_unit"], cpus["allocation_ratio"]) == (8, 8, 3.0)
    database.write_now(hosts.set_ready, "a", True)
    with pytest.raises(ClaimLost):
        database.write_now(claims.claim, claim("s", "a", memory_mb=12289))
    database.write_now(claims.claim, claim("s", "a", memory_mb=12288))


async def test_the_hosts_own_terms_come_back(admin: Caller, database: Database) -> None:
    add(database, "a")
    before = (await inventories(admin))["inventories"]
    for number, undo in enumerate((f"{PATH}/VCPU", PATH)):
        await set_one(admin, "VCPU", total=4, allocation_ratio=1.0)
        await admin(undo, method="DELETE", status=204)
        assert (await inventories(admin))["inventories"] == before
        for server_id in (f"s{number}", f"t{number}"):
            database.write_now(claims.claim, claim(server_id, "a", vcpus=4))
        for server_id in (f"s{number}", f"t{number}"):
            database.write_now(claims.release, server_id, 1)
    await admin(PATH, method="DELETE", status=405, version="1.4")
    await admin(f"{PATH}/FPGA", method="DELETE", status=404)


UNITS = [
    ({"min_unit": 2}, [1], [2, 3]),
    ({"max_unit": 2}, [3, 4], [1, 2]),
    # A server that asks for 3 VCPUs does not fit where they come in twos.
    ({"step_size": 2}, [1, 3], [2, 4]),
    ({"min_unit": 3, "max_unit": 6, "step_size": 3, "allocation_ratio": 2.0}, [2, 4, 9], [3, 6]),
    ({"reserved": 2}, [3], [2]),
    ({"allocation_ratio": 0.5}, [3], [2]),
]


@pytest.mark.parametrize(("terms", "refused", "taken"), UNITS)
async def test_scheduler_claims_and_candidates_keep_to_the_terms(
    admin: Caller, database: Database, terms: dict[str, Any], refused: list[int], taken: list[int]
) -> None:
    add(database, "a")
    await set_one(admin, "VCPU", total=4, **terms)
    scheduler = Scheduler(database, SchedulerSettings())
    for asked in (*refused, *taken):
        fits = asked in taken
        wanted = request(f"s{asked}", vcpus=asked, ram_mb=256)
        assert ((await scheduler.dry_run(wanted)).chosen == "a") == fits, asked
        (shown, number) = await admin(f"/allocation_candidates?resources=VCPU:{asked}"), int(fits)
        assert len(shown["allocation_requests"]) == number
        assert len((await admin(f"/resource_providers?resources=VCPU:{asked}"))["resource_providers"]) == number
        if fits:
            database.write_now(claims.claim, claim(f"s{asked}", "a", vcpus=asked))
            database.write_now(claims.release, f"s{asked}", 1)
        else:
            with pytest.raises(ClaimLost):
                database.write_now(claims.claim, claim(f"s{asked}", "a", vcpus=asked))


async def test_what_a_server_does_not_ask_for_has_no_least_amount(admin: Caller, database: Database) -> None:
    add(database, "a")
    await set_one(admin, "DISK_GB", total=100, min_unit=10)
    told = await Scheduler(database, SchedulerSettings()).dry_run(request("s", disk_gb=0))
    assert told.chosen == "a"
    database.write_now(claims.claim, claim("s", "a", disk_gb=0))


async def test_the_scheduler_says_that_the_amount_is_what_does_not_fit(admin: Caller, database: Database) -> None:
    add(database, "a")
    await set_one(admin, "VCPU", total=4, step_size=2)
    told = await Scheduler(database, SchedulerSettings()).dry_run(request("s", vcpus=3))
    assert told.sentence == "No valid host was found. Of 1 host UnitsFilter removed 1."


async def test_terms_that_leave_less_than_servers_have_take_nothing_from_them(
    admin: Caller, database: Database
) -> None:
    add(database, "a")
    database.write_now(claims.claim, claim("s", "a", vcpus=4))
    await set_one(admin, "VCPU", total=4, reserved=4)
    assert (await admin(f"/resource_providers/{A}/usages"))["usages"]["VCPU"] == 4
    with pytest.raises(ClaimLost):
        database.write_now(claims.claim, claim("t", "a", vcpus=1))
    database.write_now(claims.release, "s", 1)
    with pytest.raises(ClaimLost):
        database.write_now(claims.claim, claim("t", "a", vcpus=1))


async def test_who_saw_an_earlier_generation_is_refused(admin: Caller, database: Database) -> None:
    add(database, "a")
    body = await inventories(admin)
    database.write_now(claims.claim, claim("s", "a"))
    (error,) = (await admin(PATH, method="PUT", json=body, status=409))["errors"]
    assert error["detail"] == "resource provider generation conflict"
    one = {"resource_provider_generation": body["resource_provider_generation"], "total": 4}
    await admin(f"{PATH}/VCPU", method="PUT", json=one, status=409)
    assert (await inventories(admin))["inventories"] == body["inventories"]


WRONG = [
    {"total": 5},
    {"total": 0},
    {},
    {"total": 4, "reserved": 5},
    {"total": 4, "allocation_ratio": -1.0},
    {"total": 4, "min_unit": 0},
    {"total": 4, "step_size": 2**31},
    {"total": 4, "max_unit": "2"},
    {"total": 4, "colour": "red"},
]


@pytest.mark.parametrize("fields", WRONG)
async def test_terms_that_can_not_be_are_refused(admin: Caller, database: Database, fields: dict[str, Any]) -> None:
    add(database, "a")
    before = await inventories(admin)
    await set_one(admin, "VCPU", status=400, **fields)
    assert await inventories(admin) == before


async def test_classes_that_are_not_there_or_left_out_are_refused(admin: Caller, database: Database) -> None:
    add(database, "a", pci_devices=gpus(None))
    before = await inventories(admin)
    await set_one(admin, "PCPU", status=400, total=1)
    await set_one(admin, "FPGA", status=400, total=1)
    await set_one(admin, "CUSTOM_PCI_10DE_1DB6", status=400, total=1, step_size=2, max_unit=1)
    await amend(admin, "FPGA", status=400, total=1)
    bare = {**before, "inventories": {"VCPU": {"total": 4}}}
    (error,) = (await admin(PATH, method="PUT", json=bare, status=409))["errors"]
    assert "DISK_GB" in error["detail"]
    assert await inventories(admin) == before
    await set_one(admin, "VCPU", status=400, version="1.25", total=4, reserved=4)
    await set_one(admin, "VCPU", status=200, version="1.26", total=4, reserved=4)


async def test_bodies_of_no_form_are_refused_and_only_administrators_set_anything(
    http: httpx.AsyncClient, admin: Caller, database: Database
) -> None:
    add(database, "a")
    for body in (
        [],
        {},
        {"inventories": {}},
        {"resource_provider_generation": 1, "inventories": {"a b": {"total": 1}}},
    ):
        await admin(PATH, method="PUT", json=body, status=400)
    headers = admin.headers | {"Content-Type": "application/json"}
    for content, status in ((b"{", 400), (b"[" * 100_000, 400), (b" " * 200_000, 413), (b'{"a": NaN}', 400)):
        reply = await http.put(f"/placement{PATH}", content=content, headers=headers)
        assert reply.status_code == status, content[:9]
    assert (await http.put(f"/placement{PATH}", content=b"{}", headers=admin.headers)).status_code == 415
    await Caller(http, "member")(PATH, method="PUT", json={}, status=403)
