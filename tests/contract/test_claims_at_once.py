"""However many claim at once, hosts are never overcommitted and groups' policies never broken."""

import multiprocessing
import random
import threading
from collections.abc import Callable

from sqlmodel import Session

from infra.db import claims, hosts
from infra.db.engine import Database
from infra.domain.errors import ClaimLost, Fenced
from infra.domain.fitting import Wish
from infra.domain.numa import CellWish, NumaWish
from tests.contract.hosts_help import ONE_GPU, add, add_pinning, check_sums, claim, gpus, group, pinned


class Callers:
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
    Callers(database, 6).run(work)
    check_sums(database)
    assert work.lost, "there was room for all: nothing was shown"


def test_callers_at_once_never_get_the_same_cpus(database: Database) -> None:
    add_pinning(database, "a", "b")
    wish = Wish(topology=NumaWish(cells=(CellWish(vcpus=(0,), memory_mb=256),), dedicated=True))
    lost: list[int] = []

    def work(db: Database, number: int) -> None:
        dice = random.Random(number)
        for index in range(6):
            server = f"s{number}-{index}"
            try:
                db.write_now(claims.claim, pinned(server, dice.choice("ab"), 1), wish)
            except ClaimLost:
                lost.append(number)
                continue
            if dice.random() < 0.4:
                db.write_now(claims.release, server, 1)

    Callers(database, 4).run(work)
    check_sums(database)
    assert lost, "there was room for all: nothing was shown"


def test_callers_at_once_never_get_the_same_device(database: Database) -> None:
    add(database, "a", "b", pci_devices=gpus(None, None, None))
    lost: list[int] = []

    def work(db: Database, number: int) -> None:
        dice = random.Random(number)
        for index in range(6):
            server = f"s{number}-{index}"
            try:
                db.write_now(claims.claim, claim(server, dice.choice("ab"), vcpus=0, memory_mb=1), ONE_GPU)
            except ClaimLost:
                lost.append(number)
                continue
            if dice.random() < 0.4:
                db.write_now(claims.release, server, 1)

    Callers(database, 4).run(work)
    check_sums(database)
    assert lost, "there was a device for all: nothing was shown"


def test_members_claimed_at_once_never_share_a_host_under_anti_affinity(database: Database) -> None:
    names = ["a", "b", "c"]
    add(database, *names)
    members = [f"s{number}" for number in range(8)]
    database.write_now(group, "anti-affinity", members)
    placed: list[str] = []

    def work(db: Database, number: int) -> None:
        for host in names:
            try:
                placed.append(db.write_now(claims.claim, claim(members[number], host)).claim.host)
                return
            except ClaimLost:
                continue

    Callers(database, len(members)).run(work)
    assert sorted(placed) == names
    check_sums(database)


def test_members_claimed_at_once_all_share_one_host_under_affinity(database: Database) -> None:
    add(database, "a", "b")
    members = [f"s{number}" for number in range(6)]
    database.write_now(group, "affinity", members)

    def work(db: Database, number: int) -> None:
        order = ["a", "b"] if number % 2 else ["b", "a"]
        for host in order:
            try:
                db.write_now(claims.claim, claim(members[number], host))
                return
            except ClaimLost:
                continue

    Callers(database, len(members)).run(work)
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

    Callers(database, 4).run(work)
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
