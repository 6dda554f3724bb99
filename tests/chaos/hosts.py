"""More hosts than one, for what one alone cannot show: a machine is lost with all that it had."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.e2e import fake_hosts
from tests.e2e.world import World, until


class Dies:
    """One of two hosts that are added dies in the burst of boots and never comes back.

    In the burst of deletes an operator says that it is off, and has it forgotten when its last server is gone.
    """

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._dead: str | None = None

    @contextmanager
    def around(self, world: World) -> Iterator[None]:
        names = ("dies", "stays")
        with ExitStack() as workers:
            self._running = {name: workers.enter_context(fake_hosts.worker(world, name)) for name in names}
            fake_hosts.await_up(world, *names)
            yield
        for name in names:
            until(lambda name=name: fake_hosts.remove(world, name), f"host {name} is forgotten")
        self._dead = None

    def __call__(self, world: World) -> None:
        if self._dead is None:
            self._dead = "dies"
            self._running[self._dead].kill()
            return
        service = fake_hosts.service_id(world, self._dead)
        world.admin.put(f"/compute/v2.1/os-services/{service}", json={"forced_down": True}).raise_for_status()
        until(lambda: fake_hosts.remove(world, str(self._dead)), "the dead host is forgotten")
        # Its disks are gone with it.
        shutil.rmtree(world.settings.host_directory.parent / self._dead)
