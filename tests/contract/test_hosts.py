"""Hosts, aggregates and server groups behave the same on both databases."""

from datetime import timedelta

import pytest
from sqlmodel import Session

from infra.db import aggregates, claims, groups, hosts
from infra.db.engine import Database
from infra.domain.errors import BadRequest, Conflict, NotFound
from infra.domain.host import Host, Inventory
from tests.contract.hosts_help import INVENTORY, add, claim, report


def _get(db: Database, name: str) -> Host:
    return db.read_now(hosts.get, name)


def test_an_enrolled_host_is_known_by_name_and_id_but_not_ready(database: Database) -> None:
    host = database.write_now(hosts.enrol, report("a"))
    assert host.report == report("a")
    assert host.enabled
    assert not host.ready
    assert host.id == hosts.host_id("a")
    assert database.read_now(hosts.get_by_id, host.id) == host
    assert host.availability_zone == "nova"


def test_enrolling_again_keeps_id_and_claims_and_ends_readiness(database: Database) -> None:
    add(database, "a")
    database.write_now(claims.claim, claim("s", "a"))
    before = _get(database, "a")
    after = database.write_now(hosts.enrol, report("a", accelerator="kvm"))
    assert (after.id, after.created_at) == (before.id, before.created_at)
    assert (after.vcpus_claimed, after.servers) == (1, 1)
    assert before.ready
    assert not after.ready
    assert after.generation > before.generation
    assert after.report.accelerator == "kvm"


def test_a_given_id_is_kept_and_another_one_is_refused(database: Database) -> None:
    assert database.write_now(hosts.enrol, report("a"), id="chosen").id == "chosen"
    with pytest.raises(Conflict):
        database.write_now(hosts.enrol, report("a"), id="other")
    with pytest.raises(Conflict):
        database.write_now(hosts.enrol, report("b"), id="chosen")
    assert [host.name for host in database.read_now(hosts.snapshot)] == ["a"]


def test_a_report_moves_the_clock_and_only_a_changed_one_the_generation(database: Database) -> None:
    add(database, "a")
    before = _get(database, "a")
    database.write_now(hosts.report, report("a"))
    same = _get(database, "a")
    assert same.reported_at > before.reported_at
    assert same.generation == before.generation
    more = Inventory(vcpus=8, memory_mb=8192, disk_gb=100)
    database.write_now(hosts.report, report("a", inventory=more))
    changed = _get(database, "a")
    assert changed.generation == before.generation + 1
    assert changed.report.inventory == more
    assert changed.ready


def test_a_report_of_an_unknown_host_is_refused(database: Database) -> None:
    with pytest.raises(NotFound):
        database.write_now(hosts.report, report("nobody"))


def test_operators_disable_enable_and_force_down(database: Database) -> None:
    add(database, "a")
    database.write_now(hosts.disable, "a", "broken fan")
    host = _get(database, "a")
    assert (host.enabled, host.disabled_reason) == (False, "broken fan")
    database.write_now(hosts.enable, "a")
    database.write_now(hosts.force_down, "a", True)
    host = _get(database, "a")
    assert (host.enabled, host.disabled_reason, host.forced_down, host.ready) == (True, None, True, False)
    database.write_now(hosts.set_ready, "a", True)
    database.write_now(hosts.force_down, "a", True)
    assert _get(database, "a").ready, "that it is fenced was known"
    database.write_now(hosts.force_down, "a", False)
    assert not database.write_now(hosts.report, report("a"))
    for change in (hosts.enable, hosts.disable, lambda session, name: hosts.force_down(session, name, True)):
        with pytest.raises(NotFound):
            database.write_now(change, "nobody")


def test_build_failures_are_counted_until_a_build_succeeds(database: Database) -> None:
    add(database, "a")
    database.write_now(hosts.build_failed, "a")
    database.write_now(hosts.build_failed, "a")
    assert _get(database, "a").build_failures == 2
    database.write_now(hosts.build_succeeded, "a")
    assert _get(database, "a").build_failures == 0
    generation = _get(database, "a").generation
    database.write_now(hosts.build_succeeded, "a")
    assert _get(database, "a").generation == generation


def test_a_host_with_claims_stays_and_one_without_goes_with_its_memberships(database: Database) -> None:
    add(database, "a")
    group = database.write_now(aggregates.create, "g")
    database.write_now(aggregates.add_host, group.id, "a")
    database.write_now(claims.claim, claim("s", "a"))
    with pytest.raises(Conflict):
        database.write_now(hosts.remove, "a")
    database.write_now(claims.release, "s", 1)
    database.write_now(hosts.remove, "a")
    assert database.read_now(hosts.snapshot) == []
    assert database.read_now(aggregates.get, group.id).hosts == ()
    with pytest.raises(NotFound):
        database.write_now(hosts.remove, "a")


def test_changes_are_read_on_from_where_the_last_reading_was(database: Database) -> None:
    add(database, "a", "b", "c")
    first = database.read_now(hosts.changes, -1)
    assert set(first.changed) == {"a", "b", "c"}
    database.write_now(hosts.report, report("a"))
    database.write_now(claims.claim, claim("s", "b"))
    database.write_now(hosts.remove, "c")
    then = database.read_now(hosts.changes, first.horizon)
    news = {name for name, number in then.changed.items() if first.changed[name] != number}
    assert (news, then.removed) == ({"b"}, {"c"})
    add(database, "c")
    again = database.read_now(hosts.changes, then.horizon)
    assert again.removed == frozenset()
    assert again.changed["c"] not in (first.changed["c"], then.changed.get("c"))
    database.write_now(hosts.remove, "c")
    assert database.read_now(hosts.changes, again.horizon).removed == {"c"}


@pytest.mark.postgresql
def test_a_change_that_is_committed_late_is_not_missed(postgresql_database: Database) -> None:
    db = postgresql_database
    add(db, "early", "late")
    seen: list[hosts.Changes] = []

    def late(session: Session) -> None:
        hosts.disable(session, "late")
        db.write_now(hosts.disable, "early")
        seen.append(db.read_now(hosts.changes, -1))

    db.write_now(late)
    then = db.read_now(hosts.changes, seen[0].horizon)
    assert then.changed["late"] != seen[0].changed["late"]


def test_a_host_that_has_not_reported_since_a_moment_is_silent(database: Database) -> None:
    add(database, "a", "b")
    moment = _get(database, "b").reported_at
    database.write_now(hosts.report, report("b"))
    assert database.read_now(hosts.silent, moment) == {"a": _get(database, "a").reported_at}
    assert set(database.read_now(hosts.silent, moment + timedelta(days=1))) == {"a", "b"}


def test_a_zone_is_an_aggregate_and_shows_on_its_hosts(database: Database) -> None:
    add(database, "a", "b")
    zone = database.write_now(aggregates.create, "z", {"availability_zone": "east"})
    generation = _get(database, "a").generation
    zone = database.write_now(aggregates.add_host, zone.id, "a")
    assert zone.hosts == ("a",)
    assert (_get(database, "a").availability_zone, _get(database, "b").availability_zone) == ("east", "nova")
    assert _get(database, "a").generation > generation
    generation = _get(database, "a").generation
    database.write_now(aggregates.set_metadata, zone.id, {"availability_zone": "west", "ssd": "true"})
    assert _get(database, "a").availability_zone == "west"
    zone = database.write_now(aggregates.set_metadata, zone.id, {"availability_zone": None})
    assert zone.metadata == {"ssd": "true"}
    assert _get(database, "a").generation > generation
    generation = _get(database, "a").generation
    database.write_now(aggregates.remove_host, zone.id, "a")
    assert _get(database, "a").generation > generation


def test_zones_are_those_that_hosts_are_in(database: Database) -> None:
    assert database.read_now(hosts.zones) == set()
    add(database, "a", "b")
    zone = database.write_now(aggregates.create, "z", {"availability_zone": "east"})
    assert database.read_now(hosts.zones) == {"nova"}
    database.write_now(aggregates.add_host, zone.id, "a")
    assert database.read_now(hosts.zones) == {"nova", "east"}
    database.write_now(aggregates.add_host, zone.id, "b")
    assert database.read_now(hosts.zones) == {"east"}


def test_a_host_is_in_one_zone_only(database: Database) -> None:
    add(database, "a")
    east = database.write_now(aggregates.create, "e", {"availability_zone": "east"})
    west = database.write_now(aggregates.create, "w", {"availability_zone": "west"})
    plain = database.write_now(aggregates.create, "p")
    database.write_now(aggregates.add_host, east.id, "a")
    database.write_now(aggregates.add_host, plain.id, "a")
    with pytest.raises(Conflict):
        database.write_now(aggregates.add_host, west.id, "a")
    with pytest.raises(Conflict):
        database.write_now(aggregates.set_metadata, plain.id, {"availability_zone": "west"})
    assert database.read_now(aggregates.get, plain.id).metadata == {}


def test_aggregates_refuse_equal_names_unknown_hosts_and_removal_with_hosts(database: Database) -> None:
    add(database, "a")
    group = database.write_now(aggregates.create, "g")
    other = database.write_now(aggregates.create, "other")
    for call in (
        lambda session: aggregates.create(session, "g"),
        lambda session: aggregates.rename(session, other.id, "g"),
    ):
        with pytest.raises(Conflict):
            database.write_now(call)
    with pytest.raises(NotFound):
        database.write_now(aggregates.add_host, group.id, "nobody")
    database.write_now(aggregates.add_host, group.id, "a")
    with pytest.raises(Conflict):
        database.write_now(aggregates.add_host, group.id, "a")
    with pytest.raises(BadRequest):
        database.write_now(aggregates.remove, group.id)
    database.write_now(aggregates.remove_host, group.id, "a")
    with pytest.raises(NotFound):
        database.write_now(aggregates.remove_host, group.id, "a")
    database.write_now(aggregates.remove, group.id)
    assert [aggregate.name for aggregate in database.read_now(aggregates.list_all)] == ["other"]


def _make_group(session: Session, id: str, policy: str = "affinity", project_id: str = "p", rule: int = 1) -> None:
    groups.create(session, id=id, project_id=project_id, user_id="u", name=id, policy=policy, max_server_per_host=rule)


def test_groups_keep_their_members_in_order_and_belong_to_a_project(database: Database) -> None:
    database.write_now(_make_group, "g1")
    database.write_now(_make_group, "g2", "anti-affinity", "q", 2)
    for server in ("s2", "s1", "s2"):
        database.write_now(groups.add_member, "g1", server)
    assert database.read_now(groups.get, "g1", project_id="p").members == ("s2", "s1")
    with pytest.raises(NotFound):
        database.read_now(groups.get, "g1", project_id="q")
    found = database.read_now(groups.list_all, project_id="q")
    assert [(group.id, group.policy, group.max_server_per_host) for group in found] == [("g2", "anti-affinity", 2)]
    assert len(database.read_now(groups.list_all)) == 2
    mine = database.read_now(groups.of_server, "s1")
    assert mine is not None
    assert mine.id == "g1"
    database.write_now(groups.remove_member, "s1")
    assert database.read_now(groups.of_server, "s1") is None
    database.write_now(groups.remove, "g1")
    assert database.read_now(groups.of_server, "s2") is None
    with pytest.raises(NotFound):
        database.write_now(groups.add_member, "g1", "s3")


@pytest.mark.parametrize(("policy", "rule"), [("near", 1), ("affinity", 2), ("anti-affinity", 0)])
def test_groups_refuse_unknown_policies_and_rules(database: Database, policy: str, rule: int) -> None:
    with pytest.raises(BadRequest):
        database.write_now(_make_group, "g", policy, "p", rule)
    assert database.read_now(groups.list_all) == []


def test_capacity_is_what_placement_calls_it() -> None:
    inventory = INVENTORY.model_copy(update={"reserved_memory_mb": 192, "ram_allocation_ratio": 1.5})
    shown = {name: (terms.capacity, terms.max_unit) for name, terms in inventory.terms.items()}
    assert shown == {"VCPU": (8, 4), "MEMORY_MB": (12000, 8192), "DISK_GB": (100, 100), "PCPU": (0, 0)}
