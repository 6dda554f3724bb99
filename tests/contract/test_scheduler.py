"""The scheduler on a real database: it places, retries lost races, follows changes, and says why it can't."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, col, update

from infra.db import aggregates, claims, hosts
from infra.db.engine import Database
from infra.db.tables.hosts import HostRow
from infra.db.types import now
from infra.domain.errors import BadRequest, Fenced, Unavailable
from infra.domain.placement import Unplaceable
from infra.scheduler.service import Scheduler
from infra.settings import SchedulerSettings
from tests.contract.hosts_help import add, check_sums, claim, group
from tests.unit.scheduler.worlds import request


def _scheduler(db: Database, **options: Any) -> Scheduler:
    return Scheduler(db, SchedulerSettings(**options))


async def test_it_claims_the_best_host_and_says_why(database: Database) -> None:
    add(database, "a", "b")
    database.write_now(claims.claim, claim("other", "a", memory_mb=4096))
    claimed = await _scheduler(database).claim(request("s"), 1)
    assert claimed.host == "b" == claimed.explanation.chosen
    assert claimed.explanation.evaluated == 2
    assert claimed.explanation.best[0].parts["RAMWeigher"] == 1.0
    held = database.read_now(claims.get, "s", 1)
    assert held is not None
    assert (held.host, held.vcpus, held.memory_mb, held.disk_gb) == ("b", 1, 1024, 10)


async def test_a_repeat_keeps_the_claim_even_when_the_host_is_full_now(database: Database) -> None:
    add(database, "a")
    scheduler = _scheduler(database)
    big = request("s", vcpus=4, ram_mb=8192)
    first = await scheduler.claim(big, 1)
    assert (await scheduler.claim(big, 1)).host == first.host
    assert (await _scheduler(database).claim(big, 1)).host == first.host
    assert len(database.read_now(claims.everywhere)) == 1


async def test_a_closed_attempt_is_fenced(database: Database) -> None:
    add(database, "a")
    database.write_now(claims.release, "s", 1)
    with pytest.raises(Fenced):
        await _scheduler(database).claim(request("s"), 1)


async def test_a_change_behind_its_back_costs_a_retry_and_not_the_request(database: Database) -> None:
    add(database, "a", "b")
    scheduler = _scheduler(database)
    await scheduler.claim(request("warm", ram_mb=256), 1)
    for host in ("a", "b"):
        for number in range(2):
            database.write_now(claims.claim, claim(f"{host}{number}", host, vcpus=3 + number, memory_mb=256))
    database.write_now(claims.release, "b1", 1)
    claimed = await scheduler.claim(request("s", vcpus=4), 1)
    assert claimed.host == "b"
    check_sums(database)


async def test_room_given_back_is_seen_before_it_gives_up(database: Database) -> None:
    add(database, "a")
    scheduler = _scheduler(database)
    await scheduler.claim(request("first", ram_mb=8192), 1)
    with pytest.raises(Unplaceable):
        await scheduler.claim(request("second", ram_mb=8192), 1)
    database.write_now(claims.release, "first", 1)
    assert (await scheduler.claim(request("second", ram_mb=8192), 2)).host == "a"


async def test_no_valid_host_says_of_what_there_was_too_little(database: Database) -> None:
    add(database, "a", "b", "c")
    database.write_now(hosts.disable, "c")
    with pytest.raises(Unplaceable) as refused:
        await _scheduler(database).claim(request("s", ram_mb=9000), 1)
    assert refused.value.message == (
        "No valid host was found. Of 3 hosts ComputeFilter removed 1, CapacityFilter removed 2 "
        "(short of MEMORY_MB on 2: 9000 asked, at most 8192 left)."
    )
    assert "c" in refused.value.explanation.detail.splitlines()[1]
    assert database.read_now(claims.everywhere) == []


async def test_without_hosts_it_says_so(database: Database) -> None:
    with pytest.raises(Unplaceable, match="No compute host has enrolled"):
        await _scheduler(database).claim(request("s"), 1)


async def test_silent_unready_and_forced_down_hosts_are_out(database: Database) -> None:
    add(database, "a", "b", "c", "d")
    scheduler = _scheduler(database, host_down_seconds=30)
    await scheduler.dry_run(request("s"))
    database.write_now(hosts.set_ready, "a", False)
    database.write_now(hosts.force_down, "b", True)
    database.write_now(_backdate, "c", 31.0)
    told = await scheduler.dry_run(request("s"))
    assert told.chosen == "d"
    assert told.filters[0].name == "ComputeFilter"
    assert told.filters[0].hosts == ("a", "b", "c")
    database.write_now(_backdate, "c", 0.0)
    assert (await scheduler.dry_run(request("s"))).filters[0].hosts == ("a", "b")


def _backdate(session: Session, name: str, seconds: float) -> None:
    changed = update(HostRow).where(col(HostRow.name) == name).values(reported_at=now() - timedelta(seconds=seconds))
    session.execute(changed)


@pytest.mark.parametrize("why", ["restarting", "silent"])
async def test_a_host_that_is_away_for_a_moment_is_waited_for(database: Database, why: str) -> None:
    add(database, "a")
    scheduler = _scheduler(database, host_down_seconds=30)

    def is_away(away: bool) -> None:
        if why == "restarting":
            database.write_now(hosts.set_ready, "a", not away)
        else:
            database.write_now(_backdate, "a", 31.0 if away else 0.0)

    is_away(True)
    with pytest.raises(Unavailable, match="restarting"):
        await scheduler.claim(request("s"), 1)
    with pytest.raises(Unplaceable, match="ComputeFilter removed 1"):
        await scheduler.claim(request("too-big", ram_mb=2**30), 1)
    is_away(False)
    assert (await scheduler.claim(request("s"), 1)).host == "a"


@pytest.mark.parametrize("gone", ["silent", "disabled", "forced down"])
async def test_a_host_that_is_gone_is_not_waited_for(database: Database, gone: str) -> None:
    add(database, "a")
    database.write_now(hosts.set_ready, "a", False)
    match gone:
        case "silent":
            database.write_now(_backdate, "a", 181.0)
        case "disabled":
            database.write_now(hosts.disable, "a")
        case _:
            database.write_now(hosts.force_down, "a", True)
    with pytest.raises(Unplaceable):
        await _scheduler(database).claim(request("s"), 1)


async def test_refusing_hosts_are_excluded_and_busy_ones_come_last(database: Database) -> None:
    add(database, "a", "b", "c")
    scheduler = _scheduler(database)
    wanted = request("s", excluded_hosts=("a",), soft_excluded_hosts=("b",))
    assert (await scheduler.claim(wanted, 2)).host == "c"
    database.write_now(hosts.disable, "c")
    assert (await scheduler.claim(wanted, 3)).host == "b"
    database.write_now(hosts.disable, "b")
    with pytest.raises(Unplaceable):
        await scheduler.claim(wanted, 4)


async def test_it_follows_hosts_that_come_change_and_go(database: Database) -> None:
    add(database, "a")
    scheduler = _scheduler(database)
    assert (await scheduler.dry_run(request("s"))).chosen == "a"
    add(database, "b")
    zone = database.write_now(aggregates.create, "z", {"availability_zone": "east"})
    database.write_now(aggregates.add_host, zone.id, "b")
    assert (await scheduler.dry_run(request("s", availability_zone="east"))).chosen == "b"
    database.write_now(aggregates.set_metadata, zone.id, {"availability_zone": "west"})
    assert (await scheduler.dry_run(request("s", availability_zone="east"))).chosen is None
    database.write_now(hosts.remove, "b")
    told = await scheduler.dry_run(request("s"))
    assert (told.evaluated, told.chosen) == (1, "a")


async def test_groups_and_hints_are_looked_up(database: Database) -> None:
    add(database, "a", "b")
    database.write_now(group, "anti-affinity", ["s1", "s2", "s3"])
    scheduler = _scheduler(database, enabled_filters=("SameHostFilter", "DifferentHostFilter"))
    first = (await scheduler.claim(request("s1"), 1)).host
    second = (await scheduler.claim(request("s2"), 1)).host
    assert {first, second} == {"a", "b"}
    with pytest.raises(Unplaceable, match="ServerGroupAntiAffinityFilter removed 2"):
        await scheduler.claim(request("s3"), 1)
    near = await scheduler.dry_run(request("s4", hints={"same_host": "s1"}))
    far = await scheduler.dry_run(request("s4", hints={"different_host": ["s1"]}))
    assert (near.chosen, far.chosen) == (first, second)
    with pytest.raises(BadRequest):
        await scheduler.claim(request("s4", hints={"same_host": 7}), 1)


async def test_image_properties_of_other_servers_are_weighed_when_asked_for(database: Database) -> None:
    add(database, "a", "b")
    scheduler = _scheduler(database, image_props_weight_multiplier=10.0)
    debian = {"os_distro": "debian"}
    first = (await scheduler.claim(request("s1", image_properties=debian), 1)).host
    for number in range(2, 5):
        assert (await scheduler.claim(request(f"s{number}", image_properties=debian), 1)).host == first
    # Told apart by what the database says, not by what this scheduler remembers.
    told = await _scheduler(database, image_props_weight_multiplier=10.0).dry_run(
        request("s9", image_properties=debian)
    )
    assert told.chosen == first


async def test_schedulers_at_once_fill_every_room_and_not_one_more(database: Database) -> None:
    names = [f"h{number}" for number in range(4)]
    add(database, *names)
    schedulers = [_scheduler(database) for _ in range(4)]
    # 4 hosts with 8 VCPUs after overcommitment, in twos: 16 servers fit.
    outcomes = await asyncio.gather(
        *(
            schedulers[number % 4].claim(request(f"s{number}", vcpus=2, ram_mb=256, disk_gb=1), 1)
            for number in range(20)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Unplaceable) for outcome in outcomes) == 4
    assert len(database.read_now(claims.everywhere)) == 16
    check_sums(database)


async def test_anti_affine_members_at_once_spread_or_are_refused(database: Database) -> None:
    add(database, "a", "b", "c")
    members = [f"s{number}" for number in range(5)]
    database.write_now(group, "anti-affinity", members)
    schedulers = [_scheduler(database) for _ in members]
    outcomes = await asyncio.gather(
        *(scheduler.claim(request(member), 1) for scheduler, member in zip(schedulers, members, strict=True)),
        return_exceptions=True,
    )
    placed = sorted(outcome.host for outcome in outcomes if not isinstance(outcome, BaseException))
    assert placed == ["a", "b", "c"]
    assert sum(isinstance(outcome, Unplaceable) for outcome in outcomes) == 2
