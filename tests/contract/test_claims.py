"""Claims never overcommit a host, never break a group's policy, and stay closed once they are."""

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import update

from infra.db import claims, hosts
from infra.db.engine import Database
from infra.db.tables.hosts import HostRow
from infra.db.types import now
from infra.domain.errors import ClaimLost, Fenced
from infra.domain.fitting import Wish
from infra.domain.host import Claim
from infra.domain.numa import CellWish, NumaWish
from infra.domain.pci import PciWish
from tests.contract.hosts_help import (
    GPU,
    INVENTORY,
    ONE_GPU,
    PINNED,
    add,
    add_pinning,
    check_sums,
    claim,
    gpus,
    group,
    pinned,
    report,
)


def _claim(db: Database, wanted: Claim) -> Claim:
    return db.write_now(claims.claim, wanted).claim


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
        {"vcpus": INVENTORY.vcpus + 1},
        {"memory_mb": INVENTORY.memory_mb + 1},
        {"disk_gb": INVENTORY.disk_gb + 1},
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


def test_cpus_of_its_own_are_one_servers_until_it_gives_them_back(database: Database) -> None:
    add_pinning(database, "a")
    held = [database.write_now(claims.claim, pinned(f"s{number}", "a"), PINNED).claim for number in range(2)]
    assert sorted(cpu for claim in held for cell in claim.numa for own in cell.cpus for cpu in own) == [2, 3, 4, 5]
    assert database.read_now(claims.get, "s0", 1) == held[0]
    with pytest.raises(ClaimLost):
        database.write_now(claims.claim, pinned("s2", "a"), PINNED)
    assert database.read_now(claims.of_server, "s2") == []
    again = database.write_now(claims.claim, pinned("s0", "a"), PINNED)
    assert again.claim == held[0]
    database.write_now(claims.quarantine, "s0", 1)
    with pytest.raises(ClaimLost):
        database.write_now(claims.claim, pinned("s2", "a"), PINNED)
    database.write_now(claims.release, "s0", 1)
    assert database.write_now(claims.claim, pinned("s2", "a"), PINNED).claim.numa == held[0].numa
    check_sums(database)
    database.write_now(claims.release_all, "s1")
    database.write_now(claims.release_all, "s2")
    host = database.read_now(hosts.get, "a")
    assert (host.pcpus_claimed, host.numa_used) == (0, ())


def test_a_host_whose_cells_are_too_small_loses_the_claim_and_nothing_is_counted(database: Database) -> None:
    add_pinning(database, "a")
    before = database.read_now(hosts.get, "a")
    cells = tuple(CellWish(vcpus=(n,), memory_mb=256) for n in range(3))
    apart = Wish(topology=NumaWish(cells=cells, dedicated=True))
    with pytest.raises(ClaimLost, match="NUMA"):
        database.write_now(claims.claim, pinned("s", "a"), apart)
    assert database.read_now(hosts.get, "a") == before
    assert database.read_now(claims.everywhere) == []


def _addresses(held: Claim) -> list[str]:
    return [device.address for device in held.pci]


def test_a_device_is_one_servers_until_it_gives_it_back(database: Database) -> None:
    devices = gpus(None, None)
    add(database, "a", pci_devices=devices)
    two = Wish(devices=(PciWish(count=2, any_of=(GPU,)),))
    ask = (claims.claim, claim("s0", "a"), ONE_GPU)
    first = database.write_now(*ask).claim
    assert first.pci == devices[:1]
    assert database.write_now(*ask).claim == first == database.read_now(claims.get, "s0", 1)
    with pytest.raises(ClaimLost, match="PCI devices"):
        database.write_now(claims.claim, claim("s1", "a"), two)
    assert database.read_now(claims.of_server, "s1") == []
    assert database.write_now(claims.claim, claim("s1", "a"), ONE_GPU).claim.pci == devices[1:]
    check_sums(database)
    database.write_now(claims.quarantine, "s0", 1)
    with pytest.raises(ClaimLost):
        database.write_now(claims.claim, claim("s2", "a"), ONE_GPU)
    database.write_now(claims.release, "s0", 1)
    assert database.write_now(claims.claim, claim("s2", "a"), ONE_GPU).claim.pci == devices[:1]
    database.write_now(claims.release_all, "s1")
    database.write_now(claims.release_all, "s2")
    assert database.read_now(hosts.get, "a").pci_used == ()


def test_a_device_that_vanishes_from_the_report_stays_claimed(database: Database) -> None:
    devices = gpus(None, None)
    add(database, "a", pci_devices=devices)
    database.write_now(claims.claim, claim("s0", "a"), ONE_GPU)
    database.write_now(hosts.report, report("a", pci_devices=devices[1:]))
    after = database.read_now(hosts.get, "a")
    assert (after.pci_used, after.pci_free) == (devices[:1], devices[1:])
    database.write_now(hosts.report, report("a", pci_devices=devices))
    assert database.write_now(claims.claim, claim("s1", "a"), ONE_GPU).claim.pci == devices[1:]
    database.write_now(hosts.report, report("a", pci_devices=()))
    database.write_now(claims.release_all, "s0")
    assert database.read_now(hosts.get, "a").pci_used == devices[1:]
    check_sums(database)


def test_a_device_near_the_memory_is_claimed_with_the_cpus(database: Database) -> None:
    add_pinning(database, "a", pci_devices=gpus(1, 1))
    device = PciWish(count=1, any_of=(GPU,), numa_policy="required")
    near = PINNED.model_copy(update={"devices": (device,)})
    held = database.write_now(claims.claim, pinned("s0", "a"), near).claim
    assert ([cell.id for cell in held.numa], _addresses(held)) == ([1], ["0000:65:00.0"])
    # The other device is near no CPU that is left.
    with pytest.raises(ClaimLost, match="NUMA cells and PCI devices"):
        database.write_now(claims.claim, pinned("s1", "a"), near)
    check_sums(database)


def test_what_is_counted_as_claimed_of_a_host_is_counted_anew(database: Database) -> None:
    add(database, "a", pci_devices=gpus(None))
    database.write_now(claims.claim, claim("s0", "a"), ONE_GPU)
    assert database.write_now(claims.recount, "a") is False
    database.write_now(lambda session: session.execute(update(HostRow).values(pci_used=[], vcpus_claimed=7)))
    assert database.write_now(claims.recount, "a") is True
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
    database.write_now(group, "anti-affinity", ["s1", "s2", "s3"], 2)
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
    database.write_now(group, "affinity", ["s1", "s2"])
    _claim(database, claim("s1", "a"))
    with pytest.raises(ClaimLost, match="Affinity"):
        _claim(database, claim("s2", "b"))
    _claim(database, claim("s2", "a"))


def test_affinity_does_not_follow_a_guest_in_quarantine(database: Database) -> None:
    add(database, "a", "b")
    database.write_now(group, "affinity", ["s1", "s2"])
    _claim(database, claim("s1", "a"))
    database.write_now(claims.quarantine, "s1", 1)
    _claim(database, claim("s2", "b"))


def test_soft_policies_forbid_nothing(database: Database) -> None:
    add(database, "a")
    database.write_now(group, "soft-anti-affinity", ["s1", "s2"])
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
    assert database.write_now(claims.forget_closed, now() - timedelta(hours=1), 9) == 0
    assert database.write_now(claims.forget_closed, now() + timedelta(hours=1), 9) == 1
