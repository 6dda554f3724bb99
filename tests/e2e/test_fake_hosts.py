"""Several hosts on one machine: boots are spread over them, and one that does not answer is passed over."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.fake_hosts import await_up, remove, worker
from tests.e2e.world import World

_ZONE = "imagined"


@pytest.fixture
def hosts(world: World) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Three fake hosts in a zone of their own, by their names."""
    names = [f"fake-{number}" for number in (1, 2, 3)]
    aggregate = {"name": _ZONE, "availability_zone": _ZONE}
    made = world.admin.make("/compute/v2.1/os-aggregates", {"aggregate": aggregate})["aggregate"]["id"]
    actions = f"/compute/v2.1/os-aggregates/{made}/action"
    with ExitStack() as workers:
        running = {name: workers.enter_context(worker(world, name)) for name in names}
        await_up(world, *names)
        for name in names:
            world.admin.make(actions, {"add_host": {"host": name}})
        yield running
        for name in names:
            world.admin.make(actions, {"remove_host": {"host": name}})
    assert world.admin.delete(f"/compute/v2.1/os-aggregates/{made}").status_code in (200, 204)
    assert all(remove(world, name) for name in names)


def _boot(world: World, count: int) -> list[str]:
    return [world.boot(f"imagined-{number}", availability_zone=_ZONE) for number in range(count)]


def _hosts(world: World, server_ids: list[str]) -> Counter[str]:
    return Counter(world.active(each)["OS-EXT-SRV-ATTR:host"] for each in server_ids)


def test_boots_are_spread_and_a_frozen_host_is_passed_over(
    world: World, hosts: dict[str, subprocess.Popen[bytes]]
) -> None:
    spread = _boot(world, 10)
    assert sorted(_hosts(world, spread).values()) == [3, 3, 4], "the roomiest host is taken each time"
    world.delete(*spread)

    frozen = "fake-2"
    os.kill(hosts[frozen].pid, signal.SIGSTOP)
    servers = _boot(world, 3)
    assert set(_hosts(world, servers)) == {"fake-1", "fake-3"}
    os.kill(hosts[frozen].pid, signal.SIGCONT)
    await_up(world, frozen)
    world.delete(*servers)
