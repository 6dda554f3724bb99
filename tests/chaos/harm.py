"""What may happen to a stack in the middle of a burst; it is over when the call returns, but for what was killed."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from infra.deploy import config
from tests.chaos import host_disk
from tests.e2e.traces import processes
from tests.e2e.world import World, until

Harm = Callable[[World], None]

_PROCESS_SECONDS = 20.0


class Missed(Exception):
    """There was nothing to do it to."""


def kill(program: str) -> Harm:
    """kill -9 of a program."""
    return lambda world: world.stack.kill(program)


def kill_process(name: str) -> Harm:
    """kill -9 of one process of a guest or a network, as soon as there is one."""

    def strike(world: World) -> None:
        deadline = time.monotonic() + _PROCESS_SECONDS
        while not (pids := _named(world, name)):
            if time.monotonic() > deadline:
                raise Missed(f"no {name} came")
        try:
            os.kill(pids[-1], signal.SIGKILL)
        except ProcessLookupError:
            raise Missed(f"the {name} had ended by itself") from None

    return strike


def _named(world: World, name: str) -> list[int]:
    return sorted(pid for pid, known in processes(world.settings).items() if known.startswith(name))


def hang(program: str, seconds: float) -> Harm:
    """SIGSTOP, and SIGCONT some seconds later."""

    def strike(world: World) -> None:
        pid = next(line.pid for line in world.stack.status() if line.name == program)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    return strike


def fill_disk(seconds: float) -> Harm:
    """No byte is free on the host's disk for some seconds."""

    def strike(world: World) -> None:
        with host_disk.full(world.settings.host_directory.parent):
            time.sleep(seconds)

    return strike


def stop_everything(world: World) -> None:
    """kill -9 of all programs and their supervisor, then a start as an operator does it. Guests go on running."""
    _kill_programs(world)
    world.stack.start()


def cut_power(world: World) -> None:
    """The same, and nothing that lives in memory outlives it: no guest, no DHCP server, no device, no namespace."""
    _kill_programs(world)
    for pid in processes(world.settings):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not processes(world.settings), "their processes are gone")
    prefix = world.settings.host.interface_prefix
    for namespace in _words("ip", "netns", "list"):
        if namespace.startswith(f"{prefix}-"):
            subprocess.run(["ip", "netns", "delete", namespace], check=True)
    for device in Path("/sys/class/net").iterdir():
        if device.name.startswith(prefix):
            # A veth goes with its other end.
            subprocess.run(["ip", "link", "delete", device.name], check=False, capture_output=True)
    shutil.rmtree(config.libvirt_directory(world.settings) / "run")
    world.stack.start()


def _kill_programs(world: World) -> None:
    groups = [line.pid for line in world.stack.status() if line.pid]
    # The supervisor first: it would start the others again.
    os.kill(int((world.settings.state / "supervisord.pid").read_text()), signal.SIGKILL)
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _words(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
