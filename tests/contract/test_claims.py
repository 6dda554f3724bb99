"""Claims never overcommit a host, never break a group's policy, and stay closed once they are."""

import multiprocessing
import random
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlmodel import Session

from infra.db import claims, groups, hosts
from infra.db.engine import Database
from infra.db.types import now
from infra.domain.errors import ClaimLost, Fenced
from infra.domain.host import Claim
from tests.contract.hosts_help import INVENTORY, add, claim


def _claim(db: Database, wanted: Claim) -> Claim:
    return db.write_now(claims.claim, wanted)


def _group(session: Session, policy: str, members: list[str], rule: int = 1) -> None:
    groups.create(session, id="g", project_id="p", user_id="u", name="g", policy=policy, max_server_per_host=rule)
    for member in members:
        groups.add_member(session, "g", member)


def check_sums(db: Database) -> None:
    """What hosts count as claimed is the sum of the claims, and within capacity."""
    held = db.read_now(claims.everywhere)
    for host in db.read_now(hosts.snapshot):
        own = [claim for claim in held if claim.host == host.name]
        sums = (sum(c.vcpus for c in own), sum(c.memory_mb for c in own), sum(c.disk_gb for c in own), len(own))
        assert sums == (host.vcpus_claimed, host.memory_mb_claimed, host.disk_gb_claimed, host.servers)
        capacity = host.report.inventory.capacity
        assert host.vcpus_claimed <= capacity.vcpus
        assert host.memory_mb_claimed <= capacity.memory_mb
        assert host.disk_gb_claimed <= capacity.disk_gb


def test_a_claim_is_held_and_counted_and_bumps_the_generation(database: Database) -> None:
    add(database, "a")
    before = database.read_now(hosts.get, "a")
    wanted = claim("s", "a", vcpus=2, memory_mb=1024, disk_gb=5)
    assert _claim(database, wanted) == wanted
    after = database.read_now(hosts.get, "a")
    assert (after.vcpus_claimed, after.memory_mb_claimed, after.disk_gb_claimed, after.servers) == (2, 1024, 5, 1)
    assert after.generation == before.generation + 1
    assert database.read_now(claims.of_server, "s") == [wanted] == database.read_now(claims.of_host, "a")


def test_a_repeat_finds_its_own_claim_even_when_it_asks_for_another_host(database: Database) -> None:
    add(database, "a", "b")
    first = _claim(database, claim("s", "a"))
    assert _claim(database, claim("s", "a")) == first
    assert _claim(database, claim("s", "b")) == first
    assert database.read_now(claims.everywhere) == [first]
    check_sums(database)


@pytest.mark.parametrize(
    "excess",
    [
        {"vcpus": INVENTORY.largest.vcpus + 1},
        {"memory_mb": INVENTORY.capacity.memory_mb + 1},
        {"disk_gb": INVENTORY.capacity.disk_gb + 1},
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(database: Database, excess: dict[str, int]) -> None:
    add(database, "a")
    before = database.read_now(hosts.get, "a")
    with pytest.raises(ClaimLost, match="no room"):
        _claim(database, claim("s", "a", **excess))
    assert database.read_now(hosts.get, "a") == before
    assert database.read_now(claims.everywhere) == []


def test_cpus_are_overcommitted_up_to_the_ratio_and_no_further(database: Database) -> None:
    add(database, "a")
    for number in range(2):
        _claim(database, claim(f"s{number}", "a", vcpus=4))
    with pytest.raises(ClaimLost):
        _claim(database, claim("s2", "a", vcpus=1))
    database.write_now(claims.release, "s0", 1)
    _claim(database, claim("s2", "a", vcpus=4))
    check_sums(database)


@pytest.mark.parametrize("switch", ["disabled", "not ready", "forced down", "gone"])
def test_a_host_that_takes_no_servers_is_not_claimed(database: Database, switch: str) -> None:
    add(database, "a")
    {
        "disabled": lambda: database.write_now(hosts.disable, "a"),
        "not ready": lambda: database.write_now(hosts.set_ready, "a", False),
        "forced down": lambda: database.write_now(hosts.force_down, "a", True),
        "gone": lambda: database.write_now(hosts.remove, "a"),
    }[switch]()
    with pytest.raises(ClaimLost):
        _claim(database, claim("s", "a"))


def test_a_released_attempt_stays_closed_but_the_next_one_is_open(database: Database) -> None:
    add(database, "a")
    held = _claim(database, claim("s", "a"))
    assert database.write_now(claims.release, "s", 1) == held
    assert database.write_now(claims.release, "s", 1) is None
    with pytest.raises(Fenced):
        _claim(database, claim("s", "a"))
    _claim(database, claim("s", "a", attempt=2))
    check_sums(database)


def test_a_release_that_comes_first_fences_the_claim_that_comes_late(database: Database) -> None:
    add(database, "a")
    assert database.write_now(claims.release, "s", 1) is None
    with pytest.raises(Fenced):
        _claim(database, claim("s", "a"))
    assert database.read_now(claims.everywhere) == []


def test_release_all_closes_every_attempt_there_is_and_will_be(database: Database) -> None:
    add(database, "a", "b")
    first, second = _claim(database, claim("s", "a")), _claim(database, claim("s", "b", attempt=2))
    other = _claim(database, claim("other", "a"))
    assert database.write_now(claims.release_all, "s") == [first, second]
    assert database.write_now(claims.release_all, "s") == []
    for attempt in (1, 2, 3):
        with pytest.raises(Fenced):
            _claim(database, claim("s", "a", attempt=attempt))
    assert database.read_now(claims.everywhere) == [other]
    check_sums(database)


def test_a_quarantined_claim_keeps_its_room_until_its_own_release(database: Database) -> None:
    add(database, "a", "b")
    held = _claim(database, claim("s", "a"))
    _claim(database, claim("s", "b", attempt=2))
    kept = database.write_now(claims.quarantine, "s", 1)
    assert kept == held.model_copy(update={"quarantined": True}) == database.write_now(claims.quarantine, "s", 1)
    assert database.read_now(claims.hosts_of, ["s"]) == {"s": "b"}
    database.write_now(claims.release_all, "s")
    assert database.read_now(claims.everywhere) == [kept]
    check_sums(database)
    with pytest.raises(Fenced):
        _claim(database, claim("s", "a"))
    database.write_now(claims.release, "s", 1)
    assert database.read_now(claims.everywhere) == []
    check_sums(database)


def test_quarantine_without_a_claim_fences_it(database: Database) -> None:
    add(database, "a")
    assert database.write_now(claims.quarantine, "s", 1) is None
    with pytest.raises(Fenced):
        _claim(database, claim("s", "a"))


def test_anti_affinity_is_checked_with_the_claim(database: Database) -> None:
    add(database, "a", "b")
    database.write_now(_group, "anti-affinity", ["s1", "s2", "s3"], 2)
    _claim(database, claim("s1", "a"))
    _claim(database, claim("s2", "a"))
    with pytest.raises(ClaimLost, match="Anti-affinity"):
        _claim(database, claim("s3", "a"))
    _claim(database, claim("s3", "b"))
    # A server is not in its own way.
    _claim(database, claim("s1", "a", attempt=2))
    # A guest that may still be running counts.
    database.write_now(claims.release, "s2", 1)
    database.write_now(claims.quarantine, "s1", 1)
    database.write_now(claims.release, "s1", 2)
    _claim(database, claim("s2", "a", attempt=2))
    with pytest.raises(ClaimLost):
        _claim(database, claim("s3", "a", attempt=2))


def test_affinity_is_checked_with_the_claim(database: Database) -> None:
    add(database, "a", "b")
    database.write_now(_group, "affinity", ["s1", "s2"])
    _claim(database, claim("s1", "a"))
    with pytest.raises(ClaimLost, match="Affinity"):
        _claim(database, claim("s2", "b"))
    _claim(database, claim("s2", "a"))


def test_affinity_does_not_follow_a_guest_in_quarantine(database: Database) -> None:
    add(database, "a", "b")
    database.write_now(_group, "affinity", ["s1", "s2"])
    _claim(database, claim("s1", "a"))
    database.write_now(claims.quarantine, "s1", 1)
    _claim(database, claim("s2", "b"))


def test_soft_policies_forbid_nothing(database: Database) -> None:
    add(database, "a")
    database.write_now(_group, "soft-anti-affinity", ["s1", "s2"])
    _claim(database, claim("s1", "a"))
    _claim(database, claim("s2", "a"))


def test_image_properties_are_counted_by_host(database: Database) -> None:
    add(database, "a", "b")
    for number, host in enumerate("aab"):
        wanted = claim(f"s{number}", host).model_copy(update={"image_properties": {"os_distro": "debian"}})
        _claim(database, wanted)
    key = ("os_distro", "debian")
    assert database.read_now(claims.image_properties) == {"a": Counter({key: 2}), "b": Counter({key: 1})}
    assert database.read_now(claims.image_properties, ["b"]) == {"b": Counter({key: 1})}


def test_old_tombstones_are_forgotten_and_young_ones_kept(database: Database) -> None:
    database.write_now(claims.release, "s", 1)
    assert database.write_now(claims.forget_closed, now() - timedelta(hours=1)) == 0
    assert database.write_now(claims.forget_closed, now() + timedelta(hours=1)) == 1


class _Callers:
    """Threads with an engine each, as so many scheduler processes have, that start at the same moment."""

    def __init__(self, db: Database, count: int) -> None:
        self.db, self.count = db, count
        self.errors: list[BaseException] = []

    def run(self, work: Callable[[Database, int], None]) -> None:
        barrier = threading.Barrier(self.count)

        def one(number: int) -> None:
            own = Database(self.db.url)
            try:
                barrier.wait(30)
                work(own, number)
            except BaseException as error:
                self.errors.append(error)
            finally:
                own.close()

        threads = [threading.Thread(target=one, args=(number,)) for number in range(self.count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not self.errors, self.errors


class _Work:
    """Claims and releases at random, as many callers do at once."""

    def __init__(self, host_names: list[str], servers: int) -> None:
        self.host_names, self.servers = host_names, servers
        self.lost = 0

    def __call__(self, db: Database, number: int) -> None:
        dice = random.Random(number)
        for index in range(self.servers):
            server = f"s{number}-{index}"
            wanted = claim(server, dice.choice(self.host_names), vcpus=dice.randint(1, 3), memory_mb=1024)
            try:
                db.write_now(claims.claim, wanted)
            except ClaimLost:
                self.lost += 1
                continue
            if dice.random() < 0.3:
                db.write_now(claims.release, server, 1)


def test_a_claim_waits_for_the_one_before_it_on_the_same_host_and_then_counts_it(database: Database) -> None:
    add(database, "a")
    outcome: list[str] = []

    def second() -> None:
        own = Database(database.url)
        try:
            own.write_now(claims.claim, claim("second", "a", memory_mb=8192))
            outcome.append("claimed")
        except ClaimLost:
            outcome.append("lost")
        finally:
            own.close()

    waiting = threading.Thread(target=second)

    def first(session: Session) -> None:
        claims.claim(session, claim("first", "a", memory_mb=8192))
        waiting.start()
        waiting.join(1)
        assert waiting.is_alive(), "the second claim was decided before the first was"

    database.write_now(first)
    waiting.join(60)
    assert outcome == ["lost"]
    check_sums(database)


def test_callers_at_once_never_overcommit(database: Database) -> None:
    add(database, "a", "b")
    work = _Work(["a", "b"], 20)
    _Callers(database, 6).run(work)
    check_sums(database)
    assert work.lost, "there was room for all: nothing was shown"


def test_members_claimed_at_once_never_share_a_host_under_anti_affinity(database: Database) -> None:
    names = ["a", "b", "c"]
    add(database, *names)
    members = [f"s{number}" for number in range(8)]
    database.write_now(_group, "anti-affinity", members)
    placed: list[str] = []

    def work(db: Database, number: int) -> None:
        for host in names:
            try:
                placed.append(db.write_now(claims.claim, claim(members[number], host)).host)
                return
            except ClaimLost:
                continue

    _Callers(database, len(members)).run(work)
    assert sorted(placed) == names
    check_sums(database)


def test_members_claimed_at_once_all_share_one_host_under_affinity(database: Database) -> None:
    add(database, "a", "b")
    members = [f"s{number}" for number in range(6)]
    database.write_now(_group, "affinity", members)

    def work(db: Database, number: int) -> None:
        order = ["a", "b"] if number % 2 else ["b", "a"]
        for host in order:
            try:
                db.write_now(claims.claim, claim(members[number], host))
                return
            except ClaimLost:
                continue

    _Callers(database, len(members)).run(work)
    held = database.read_now(claims.everywhere)
    assert len(held) == len(members)
    assert len({claim.host for claim in held}) == 1


def test_claim_and_release_of_one_attempt_at_once_leave_nothing(database: Database) -> None:
    add(database, "a")

    def work(db: Database, number: int) -> None:
        for index in range(15):
            try:
                if number % 2:
                    db.write_now(claims.release_all if number == 3 else claims.release, f"s{index}", *_attempt(number))
                else:
                    db.write_now(claims.claim, claim(f"s{index}", "a", memory_mb=1, disk_gb=0))
            except (Fenced, ClaimLost):
                continue

    _Callers(database, 4).run(work)
    assert database.read_now(claims.everywhere) == []
    check_sums(database)


def _attempt(number: int) -> tuple[int, ...]:
    return () if number == 3 else (1,)


def _claim_in_process(url: str, number: int) -> None:
    db = Database(url)
    _Work(["a"], 15)(db, number)
    db.close()


def test_processes_at_once_never_overcommit(database: Database) -> None:
    add(database, "a")
    context = multiprocessing.get_context("spawn")
    url = database.url.render_as_string(hide_password=False)
    processes = [context.Process(target=_claim_in_process, args=(url, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    check_sums(database)
    assert database.read_now(hosts.get, "a").vcpus_claimed > 0
