"""Some of the proofs on a hypervisor and networks that are real: what the fakes promise is so."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from activities import parking
from infra.compute.libvirt.connection import Connection
from infra.compute.libvirt.driver import LibvirtDriver
from infra.compute.libvirt.probe import Accelerator
from infra.network.linux import netns
from infra.network.linux.backend import LinuxNetworkBackend
from infra.settings import HostSettings
from tests.contract.compute_fixtures import Libvirtd, libvirtd
from tests.saga.moves import REBUILD, RESIZE, REVERT
from tests.saga.scenarios import BOOT, DELETE, UNDEFINED
from tests.saga.shelves import UNRESCUE
from tests.saga.test_every_step import Case, Running
from tests.saga.world import Place, World, world
from workflows import policies

__all__ = ["libvirtd"]

pytestmark = [pytest.mark.libvirt, pytest.mark.root]
AT_ONCE = 3


async def undefined(world: World, place: Place) -> None:
    await world.active(place)
    await asyncio.to_thread(world.hosts["real"].driver.destroy, place.server_id)


# A guest that boots nothing does not react to its power button: it is not stopped first.
REBOOT = replace(
    UNDEFINED,
    name="reboot-undefined",
    prepare=undefined,
    begin=lambda world, place: world.act(place, "reboot", status=None, argument={"type": "HARD"}),
)
CASES = [
    Case(BOOT, "hypervisor.spawn", "fails after"),
    Case(BOOT, "hypervisor.spawn", "breaks after"),
    Case(BOOT, "hypervisor.spawn", "lands late"),
    Case(BOOT, "hypervisor.spawn", "delete"),
    Case(BOOT, "networks.plug", "breaks after"),
    Case(BOOT, "volumes.complete", "undo cancelled"),
    Case(DELETE, "hypervisor.remove", "fails after"),
    Case(DELETE, "hypervisor.remove", "twice at once"),
    Case(REBOOT, "hypervisor.rebuild", "fails after"),
    Case(REBUILD, "hypervisor.spawn", "breaks after"),
    Case(RESIZE, "hypervisor.spawn", "fails after"),
    Case(RESIZE, "hypervisor.spawn", "lands late"),
    Case(REVERT, "hypervisor.unpark", "fails after"),
    Case(UNRESCUE, "hypervisor.unpark", "fails after"),
]


class Network(LinuxNetworkBackend):
    @property
    def devices(self) -> set[str]:
        """Every link and namespace there is."""
        links = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout
        return {line.split(": ")[1].partition("@")[0] for line in links.splitlines()} | set(netns.names())

    def leftovers(self) -> list[str]:
        """Networks of other cases come and go meanwhile; those of a case's own are among the devices."""
        return []


@pytest.fixture(scope="module")
async def real(
    temporal: str, quick_policies: None, libvirtd: Libvirtd, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    settings = HostSettings(name="real", libvirt_uri=libvirtd.uri, interface_prefix="kp")
    folder = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in vars(policies).items():
            if isinstance(value, policies.Policy) and value.heartbeat:
                # A real hypervisor on a busy machine may be silent for longer than a fake one.
                patch.setattr(policies, name, replace(value, heartbeat=timedelta(seconds=15)))
        # Nothing runs in these guests that would react to their power button.
        patch.setattr(parking, "SOFT_SECONDS", 0.0)
        async with _world(folder, temporal, libvirtd, settings) as made:
            yield made


@asynccontextmanager
async def _world(folder: Path, temporal: str, libvirtd: Libvirtd, settings: HostSettings) -> AsyncIterator[World]:
    async with world(folder, (temporal, "real"), ()) as made:
        connection = Connection(libvirtd.uri)
        own = made.settings.model_copy(update={"host": settings})
        driver = LibvirtDriver(connection, own, Accelerator("tcg", "The tests ask for it."))
        network = Network(settings, made.settings.state / "network")
        await made.add_real_host(settings, driver, network)
        made.start_host("real")
        yield made
        connection.close()


@pytest.fixture(scope="module")
async def outcomes(real: World) -> dict[Case, asyncio.Task[None]]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> None:
        async with room:
            await asyncio.wait_for(Running(real, case).run(), 120)

    return {case: asyncio.create_task(one(case)) for case in CASES}


@pytest.mark.parametrize("proof", CASES, ids=str)
async def test_on_a_real_host(proof: Case, outcomes: dict[Case, asyncio.Task[None]]) -> None:
    await outcomes[proof]
