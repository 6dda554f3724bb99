"""Many claims in one statement of PostgreSQL: each is granted as it would be alone, or left for a second look."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlmodel import Session

from infra.db import claims, claims_together, explanations, hosts
from infra.db.claims import Granted
from infra.db.claims_together import Asked
from infra.db.engine import Database
from infra.domain.placement import Explanation
from infra.scheduler.joint import JointClaims
from infra.scheduler.service import Scheduler
from infra.settings import SchedulerSettings
from tests.contract.hosts_help import add, check_sums, claim, group
from tests.contract.test_claims_at_once import Callers
from tests.unit.scheduler.worlds import request

pytestmark = pytest.mark.postgresql


def _asked(server_id: str, host: str, **more: Any) -> Asked:
    told = Explanation(evaluated=1, chosen=host).model_dump(mode="json")
    return Asked(claim=claim(server_id, host, **more), explanation=told)


def test_each_is_held_counted_and_explained(postgresql_database: Database) -> None:
    db = postgresql_database
    add(db, "a", "b", "c")
    asked = [_asked("s1", "c", vcpus=2), _asked("s2", "a", memory_mb=1024), _asked("s3", "b")]
    granted = db.write_now(claims_together.claim, asked)
    assert [got.claim for got in granted if got] == [each.claim for each in asked]
    assert db.read_now(claims.everywhere) == [each.claim for each in asked]
    host = db.read_now(hosts.get, "c")
    assert granted[0] is not None
    assert granted[0].totals is not None
    assert (granted[0].totals["vcpus_claimed"], granted[0].totals["generation"]) == (2, host.generation)
    assert db.read_now(explanations.of_server, "s2")[1].chosen == "a"
    check_sums(db)


def test_what_needs_a_second_look_is_left_as_it_was_and_keeps_nobody_from_anything(
    postgresql_database: Database,
) -> None:
    db = postgresql_database
    add(db, "a", "b", "full", "off")
    db.write_now(hosts.disable, "off")
    db.write_now(claims.claim, claim("other", "full", memory_mb=8192))
    db.write_now(claims.claim, claim("held", "a"))
    db.write_now(claims.release, "closed", 1)
    db.write_now(claims.release_all, "gone")
    db.write_now(group, "anti-affinity", ["member"])
    before = db.read_now(claims.everywhere)
    servers = {"held": "b", "closed": "b", "gone": "b", "member": "b", "no-room": "full", "no-host": "off", "s": "a"}
    granted = db.write_now(claims_together.claim, [_asked(server_id, host) for server_id, host in servers.items()])
    assert [got.claim.server_id for got in granted if got] == ["s"]
    assert [held for held in db.read_now(claims.everywhere) if held not in before] == [claim("s", "a")]
    assert db.read_now(explanations.of_server, "no-room") == {}
    check_sums(db)


def test_of_two_that_want_the_last_room_of_a_host_one_gets_it(postgresql_database: Database) -> None:
    db = postgresql_database
    add(db, "a")
    granted = db.write_now(claims_together.claim, [_asked(f"s{n}", "a", memory_mb=8192) for n in range(2)])
    assert sum(got is not None for got in granted) == 1
    check_sums(db)


def test_many_at_once_never_overcommit_and_never_wait_for_each_other_for_ever(postgresql_database: Database) -> None:
    names = [f"h{n}" for n in range(6)]
    add(postgresql_database, *names)
    lost: list[int] = []

    def work(db: Database, number: int) -> None:
        dice = random.Random(number)
        for turn in range(12):
            places = dice.sample(names, 4)
            asked = [_asked(f"s{number}-{turn}-{n}", host, memory_mb=2048) for n, host in enumerate(places)]
            granted = db.write_now(claims_together.claim, asked)
            lost.extend(number for got in granted if got is None)
            for got in granted:
                if got is not None and dice.random() < 0.5:
                    db.write_now(claims.release, got.claim.server_id, 1)

    Callers(postgresql_database, 4).run(work)
    check_sums(postgresql_database)
    assert lost, "there was room for all: nothing was shown"


class _Counting:
    """A database that counts its transactions, and may fail as one that dislikes a value does."""

    def __init__(self, db: Database, refused: str = "") -> None:
        self._db, self._refused = db, refused
        self.transactions = 0

    async def write(self, fn: Callable[..., Any], asked: list[Asked]) -> list[Granted | None]:
        self.transactions += 1
        result: list[Granted | None] = await self._db.write(self._do, fn, asked)
        return result

    def _do(self, session: Session, fn: Callable[..., Any], asked: list[Asked]) -> Any:
        if any(each.claim.server_id == self._refused for each in asked):
            asked = [*asked[:-1], _asked("nul\0", "a")]
        return fn(session, asked)


async def test_those_that_come_meanwhile_go_together(postgresql_database: Database) -> None:
    add(postgresql_database, *(f"h{n}" for n in range(20)))
    counting = _Counting(postgresql_database)
    joint = JointClaims(counting)  # type: ignore[arg-type]
    granted = await asyncio.gather(*(joint.claim(_asked(f"s{n}", f"h{n % 20}", memory_mb=256)) for n in range(40)))
    assert [got.claim.server_id for got in granted if got] == [f"s{n}" for n in range(40)]
    assert counting.transactions <= 4
    check_sums(postgresql_database)


async def test_what_the_database_refuses_fails_for_nobody_else(postgresql_database: Database) -> None:
    add(postgresql_database, "a", "b")
    joint = JointClaims(_Counting(postgresql_database, refused="bad"))  # type: ignore[arg-type]
    granted = await asyncio.gather(joint.claim(_asked("s", "a")), joint.claim(_asked("bad", "b")))
    assert granted == [None, None]
    assert await joint.claim(_asked("s", "a")) is not None


async def test_a_caller_that_goes_away_takes_nobody_with_it(postgresql_database: Database) -> None:
    add(postgresql_database, "a", "b")
    joint = JointClaims(postgresql_database)
    first, second = (asyncio.create_task(joint.claim(_asked(name, name))) for name in "ab")
    await asyncio.sleep(0)
    first.cancel()
    assert await second is not None
    assert len(await postgresql_database.read(claims.everywhere)) == 2


async def test_a_scheduler_places_many_at_once_and_says_why_the_last_found_none(postgresql_database: Database) -> None:
    add(postgresql_database, "a", "b")
    scheduler = Scheduler(postgresql_database, SchedulerSettings())
    placed = await asyncio.gather(
        *(scheduler.claim(request(f"s{n}", ram_mb=2048), 1) for n in range(9)), return_exceptions=True
    )
    assert sorted(str(type(each).__name__) for each in placed) == [*["Claimed"] * 8, "Unplaceable"]
    check_sums(postgresql_database)
