"""Several hosts on one machine: boots are spread over them, and one that does not answer is passed over."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from infra.deploy import config
from tests.e2e.world import World, until

_ZONE = "imagined"


@contextmanager
def _worker(world: World, name: str) -> Iterator[subprocess.Popen[bytes]]:
    log = (config.log_directory(world.settings) / f"{name}.log").open("ab")
    command = [sys.executable, "-m", "workers", "compute", "--host", name, "--driver", "fake"]
    with log, subprocess.Popen(command, cwd=config.ROOT, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(60)


def _up(world: World) -> set[str]:
    listed = world.client("hypervisor", "list", cloud="kilonova-admin")
    return {line["Hypervisor Hostname"] for line in listed if line["State"] == "up"}


@pytest.fixture
def hosts(world: World) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Three fake hosts in a zone of their own, by their names."""
    names = [f"fake-{number}" for number in (1, 2, 3)]
    aggregate = {"name": _ZONE, "availability_zone": _ZONE}
    made = world.admin.make("/compute/v2.1/os-aggregates", {"aggregate": aggregate})["aggregate"]["id"]
    actions = f"/compute/v2.1/os-aggregates/{made}/action"
    with ExitStack() as workers:
        running = {name: workers.enter_context(_worker(world, name)) for name in names}
        until(lambda: _up(world).issuperset(names), "the hosts are up")
        for name in names:
            world.admin.make(actions, {"add_host": {"host": name}})
        yield running
        for name in names:
            world.admin.make(actions, {"remove_host": {"host": name}})
    assert world.admin.delete(f"/compute/v2.1/os-aggregates/{made}").status_code in (200, 204)
    for service in world.admin.show("/compute/v2.1/os-services")["services"]:
        if service["host"] in names:
            assert world.admin.delete(f"/compute/v2.1/os-services/{service['id']}").status_code == 204


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
    until(lambda: frozen in _up(world), "the host is back")
    world.delete(*servers)
