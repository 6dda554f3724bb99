"""Hosts that do not answer, and undos that do not get through: what a guest could still touch stays taken."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlmodel import col, update

from activities.base import translate
from infra.db import debts, hosts
from infra.db.tables.hosts import HostRow
from infra.db.types import now
from infra.domain.errors import HostRejected
from infra.scheduler import service
from tests.saga import faults
from tests.saga.scenarios import delete_and_compare, gone
from tests.saga.snapshot import snapshot
from tests.saga.world import World, until, world
from workflows import policies


@pytest.fixture(scope="module")
async def two(temporal: str, quick_policies: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world(tmp_path_factory.mktemp("two"), (temporal, "hosts"), ("a", "b")) as made:
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host is given up after two seconds."""
    soon = timedelta(seconds=2)
    for name in ("ACCEPT", "HOST_UNDO"):
        monkeypatch.setattr(policies, name, replace(getattr(policies, name), schedule_to_start=soon))


async def test_a_boot_goes_round_a_host_that_nobody_serves(
    cloud: World, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the most room, so it is always chosen first; it is only away, which costs no attempt."""
    # The host is seconds old: the scheduler's table must have it.
    monkeypatch.setattr(service, "_STALE_SECONDS", 0.0)
    await cloud.add_host("away", memory_mb=4 * 262144, vcpus=1000)
    try:
        place = await cloud.place()
        before = await snapshot(cloud, place)
        server = await cloud.active(place)
        assert (server.host != "away", server.attempt) == (True, 2)
        await delete_and_compare(cloud, place, before)
    finally:
        del cloud.hosts["away"]
        cloud.db.write_now(hosts.set_ready, "away", False)


async def test_what_a_host_owes_stays_taken_until_it_pays(two: World) -> None:
    """The boot failed and its guest could not be removed: ERROR for the user, nothing free for others."""
    place = await two.place()
    before = await snapshot(two, place)
    two.faults.add(place.workflow_id, "BootServer", "volumes.complete", faults.breaks_before())
    two.faults.add(place.workflow_id, "BootServer", "hypervisor.destroy", faults.breaks_before())
    await two.boot(place)
    await two.settled(place)
    server = two.server(place)
    assert server is not None
    assert (server.status, server.host) == ("ERROR", None)
    found = await snapshot(two, place)
    (owing, attempt), *others = found["debts"]
    assert (others, attempt) == ([], 1)
    assert found["claims"] == [(owing, 1, True)]
    assert found[owing]["domains"] == [(1, 1)]
    assert (len(found["ports"]), len(found["attachments"])) == (1, 1)
    two.faults.forget(place.workflow_id)
    await two.hosts[owing].host.upkeep.pay()
    assert await snapshot(two, place) == before | {"usage": (1, 1, 128), "user data": True}
    await delete_and_compare(two, place, before)


async def test_a_debt_does_not_keep_the_server_from_another_host(two: World) -> None:
    """The next attempt has a port of its own, and paying the debt takes nothing from it."""
    place = await two.place()
    before = await snapshot(two, place)
    two.faults.add(place.workflow_id, "BootServer", "hypervisor.spawn", faults.refuses_after())
    two.faults.add(place.workflow_id, "BootServer", "hypervisor.destroy", faults.breaks_before())
    server = await two.active(place, block_device_mapping_v2=[])
    assert server.attempt == 2
    found = await snapshot(two, place)
    owing = found["debts"][0][0]
    assert owing != server.host
    assert found["claims"] == [(owing, 1, True), (server.host, 2, False)]
    assert sorted(host for host, _, _ in found["ports"]) == ["a", "b"]
    two.faults.forget(place.workflow_id)
    await two.hosts[owing].host.upkeep.pay()
    found = await snapshot(two, place)
    assert found["claims"] == [(server.host, 2, False)]
    assert found["ports"] == [(server.host, True, "ACTIVE")]
    assert found[owing] == before[owing]
    assert found[str(server.host)]["domains"] == [(2, 1)]
    await delete_and_compare(two, place, before)


async def test_a_debt_does_not_keep_the_server_from_the_same_host(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was only busy: the next attempt is there too, and paying takes the ports of the one before, and no other."""
    monkeypatch.setattr(service, "_STALE_SECONDS", 0.0)
    two.db.write_now(hosts.disable, "b")
    try:
        place = await two.place()
        before = await snapshot(two, place)

        async def is_busy(n: int, call: faults.Call) -> object:
            if n <= 3:
                raise translate(HostRejected("injected: libvirtd restarts", soft=True))
            return await call()

        two.faults.add(place.workflow_id, "BootServer", "hypervisor.spawn", is_busy)
        two.faults.add(place.workflow_id, "BootServer", "hypervisor.destroy", faults.breaks_before())
        server = await two.active(place, block_device_mapping_v2=[])
        assert (server.host, server.attempt) == ("a", 2)
        two.faults.forget(place.workflow_id)
        await two.hosts["a"].host.upkeep.pay()
        found = await snapshot(two, place)
        assert found["ports"] == [("a", True, "ACTIVE")]
        assert found["a"]["plugged"] == 1
        await delete_and_compare(two, place, before)
    finally:
        two.db.write_now(hosts.enable, "b")


async def test_an_undo_waits_for_a_host_that_is_busy(two: World) -> None:
    """A daemon that restarts costs a moment, and no debt."""
    place = await two.place()
    before = await snapshot(two, place)

    async def is_busy(n: int, call: faults.Call) -> object:
        if n <= 2:
            raise translate(HostRejected("injected: libvirtd restarts", soft=True))
        return await call()

    two.faults.add(place.workflow_id, "BootServer", "hypervisor.spawn", faults.refuses_after())
    two.faults.add(place.workflow_id, "BootServer", "hypervisor.destroy", is_busy)
    server = await two.active(place)
    assert server.attempt == 2
    assert (await snapshot(two, place))["debts"] == []
    await delete_and_compare(two, place, before)


async def test_a_server_on_a_dead_host_can_be_deleted(two: World, impatient: None) -> None:
    place = await two.place()
    before = await snapshot(two, place)
    server = await two.active(place)
    host = two.hosts[str(server.host)]
    await host.stop()
    await two.delete(place)
    await two.settled(place)
    row = two.server(place)
    assert row is not None
    assert row.vm_state == "deleted"
    found = await snapshot(two, place)
    assert (found["usage"], found["claims"]) == ((0, 0, 0), [(server.host, 1, True)])
    assert found["volumes"] == [(place.volume_id, "in-use")]
    await host.host.upkeep.settle()
    two.start_host(str(server.host))
    await gone(two, place, before)


@pytest.mark.parametrize("silent", [True, False], ids=["is down", "is up"])
async def test_work_that_nobody_takes_is_waited_for_while_its_host_is_up(
    two: World, impatient: None, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    """Its worker ends in the middle of a boot: one that is away for long is left, one that only restarts is not."""
    monkeypatch.setattr(policies, "HOST_PATIENCE", timedelta(seconds=0.5))
    place = await two.place()
    before = await snapshot(two, place)
    asked: list[str] = []

    async def ends(n: int, call: faults.Call) -> object:
        result = await call()
        if n == 1:
            server = two.server(place)
            assert server is not None
            host = str(server.host)
            if silent:
                old = now() - timedelta(days=1)
                own = update(HostRow).where(col(HostRow.name) == host)
                two.db.write_now(lambda session: session.execute(own.values(reported_at=old)))
            tasks.append(asyncio.ensure_future(two.hosts[host].stop()))
        return result

    async def sees(n: int, call: faults.Call) -> object:
        asked.append("asked")
        if not silent and n == 2:
            for name, host in two.hosts.items():
                if not host.workers:
                    two.start_host(name)
        return await call()

    tasks: list[asyncio.Future[None]] = []
    two.faults.add(place.workflow_id, "BootServer", "networks.allocate", ends)
    two.faults.add(place.workflow_id, "BootServer", "scheduling.see_host", sees)
    server = await two.active(place)
    await asyncio.gather(*tasks)
    assert (server.attempt, bool(asked)) == ((2, True) if silent else (1, True))
    for name, host in two.hosts.items():
        if not host.workers:
            await host.host.upkeep.report()
            await host.host.upkeep.settle()
            two.start_host(name)
    await delete_and_compare(two, place, before)


async def test_what_a_fenced_host_owes_is_given_back_and_still_owed(two: World, impatient: None) -> None:
    """An operator says that it is off. When it comes back after all, it removes what others have got meanwhile."""
    place, later = await two.place(), await two.administrated(await two.place())
    before = await snapshot(two, place)
    name = str((await two.active(place)).host)
    await two.active(later, availability_zone=f"nova:{name}")
    host, services = two.hosts[name], "/compute/v2.1/os-services"
    await host.stop()
    await two.delete(place)
    await two.settled(place)
    (shown,) = (await two.as_admin(place, "GET", f"{services}?host={name}"))["services"]
    assert [place.server_id in sentence for sentence in shown["kilonova:debts"]] == [True]
    await two.as_admin(place, "PUT", f"{services}/{shown['id']}", {"forced_down": True})
    found = await snapshot(two, place)
    assert (found["claims"], found["ports"], found["addresses"], found["attachments"]) == ([], [], 0, [])
    assert (found["volumes"], found["debts"]) == ([(place.volume_id, "available")], [(name, 1)])
    assert found[name]["domains"] == [(1, 1)]
    # What is deleted after that waits for nothing.
    await two.delete(later)
    await two.settled(later)
    assert (await snapshot(two, later))["volumes"] == [(later.volume_id, "available")]
    # Its worker, which was only cut off, reports again.
    two.start_host(name)
    await host.host.upkeep.report()
    await gone(two, place, before)
    assert [debt for debt in two.db.read_now(debts.owed) if debt.host == name] == []
    await two.as_admin(place, "PUT", f"{services}/{shown['id']}", {"forced_down": False})
    assert not two.db.read_now(hosts.get, name).ready
    await host.host.upkeep.report()
    assert two.db.read_now(hosts.get, name).ready


async def test_a_server_leaves_a_host_that_an_operator_says_is_off(two: World) -> None:
    """Before that it waits, shelved and held: its guest might have the volume still."""
    place = await two.place()
    name = str((await two.active(place)).host)
    two.faults.add(place.workflow_id, "OffloadServer", "hypervisor.remove", faults.breaks_before())
    await two.act(place, "shelve")

    def waits() -> bool:
        server = two.server(place)
        return server is not None and server.stuck_undo is not None

    await until(waits, 30, lambda: "it does not show that it is stuck")
    server = two.server(place)
    assert server is not None
    assert (server.status, server.task_state, server.host) == ("SHELVED", "shelving_offloading", name)
    for action in ("unshelve", "os-start", "shelve"):
        await two.act(place, action, status=409)
    services = "/compute/v2.1/os-services"
    (shown,) = (await two.as_admin(place, "GET", f"{services}?host={name}"))["services"]
    await two.as_admin(place, "PUT", f"{services}/{shown['id']}", {"forced_down": True})
    await two.settled(place)
    server = two.server(place)
    assert server is not None
    assert (server.status, server.host, server.stuck_undo) == ("SHELVED_OFFLOADED", None, None)
    found = await snapshot(two, place)
    assert (found["claims"], found["debts"]) == ([], [(name, 1)])
    assert (found["ports"], found["attachments"]) == ([("", True, "DOWN")], [("", "attached", True)])
    await two.act(place, "unshelve")
    await two.settled(place)
    server = two.server(place)
    assert server is not None
    assert (server.status, server.host != name) == ("ACTIVE", True)
    await two.as_admin(place, "PUT", f"{services}/{shown['id']}", {"forced_down": False})
    await two.hosts[name].host.upkeep.report()
    assert [debt for debt in two.db.read_now(debts.owed) if debt.host == name] == []
    found = await snapshot(two, place)
    assert (found[name]["files"], found[name]["domains"], found[name]["plugged"]) == ([], [], 0)
    assert found["ports"] == [(server.host, True, "ACTIVE")]
    await two.delete(place)
    await two.settled(place)
    assert (await snapshot(two, place))["images"] == []
