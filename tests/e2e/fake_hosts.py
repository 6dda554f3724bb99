"""Hosts beside the stack's own, whose hypervisors only remember: as many as a test asks for."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from infra.deploy import config
from tests.e2e.world import World, until


@contextmanager
def worker(world: World, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """Its compute worker, which nobody starts again."""
    log = (config.log_directory(world.settings) / f"{name}.log").open("ab")
    command = [sys.executable, "-m", "workers", "compute", "--host", name, "--driver", "fake"]
    own = os.environ | {"KILONOVA_HOST__DIRECTORY": str(world.settings.host_directory.parent / name)}
    with log, subprocess.Popen(command, cwd=config.ROOT, env=own, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(60)


def up(world: World) -> set[str]:
    listed = world.client("hypervisor", "list", cloud="kilonova-admin")
    return {line["Hypervisor Hostname"] for line in listed if line["State"] == "up"}


def await_up(world: World, *names: str) -> None:
    until(lambda: up(world).issuperset(names), "the hosts are up")


def service_id(world: World, name: str) -> str | None:
    services = world.admin.show("/compute/v2.1/os-services")["services"]
    return next((service["id"] for service in services if service["host"] == name), None)


def remove(world: World, name: str) -> bool:
    """Have the cloud forget a host, if it is known; False: it has servers still."""
    service = service_id(world, name)
    return service is None or world.admin.delete(f"/compute/v2.1/os-services/{service}").status_code == 204
