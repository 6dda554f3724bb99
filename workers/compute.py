"""A compute host's worker: three queues of one host in one process, its DHCP and metadata, and its reports.

Before it polls it pays its debts and removes what it should not have; only then is the host schedulable.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from temporalio.client import Client
from temporalio.worker import Worker

from activities.disk_copies import DiskCopyActivities
from activities.hosts import HostActivities
from activities.hypervisor import HypervisorActivities
from activities.images import ImageActivities
from activities.networks import PlugActivities, PortActivities
from activities.parking import ParkActivities
from activities.upkeep import UpkeepActivities
from activities.volumes import ConnectActivities, VolumeActivities
from infra.compute.attempts import Attempts
from infra.compute.copies import DiskCopies
from infra.compute.driver import Driver
from infra.compute.fake import FakeDriver
from infra.compute.guests import GuestFiles
from infra.compute.libvirt import connection, probe
from infra.compute.libvirt.driver import LibvirtDriver
from infra.compute.upkeep import Upkeep
from infra.domain.errors import HostRejected, KilonovaError
from infra.domain.host import Inventory
from infra.identity.service import ClientCredentials
from infra.image.host_cache import HostCache
from infra.network.backend import NetworkBackend
from infra.network.fake import FakeNetworkBackend
from infra.network.linux.backend import LinuxNetworkBackend
from infra.network.metadata_server import MetadataServer
from infra.rest.client import RestClient
from infra.settings import Settings
from infra.temporal.client import connect
from infra.temporal.heartbeats import Heartbeats
from infra.temporal.queues import Lane, host_queue
from infra.temporal.sealed import Sealer
from workers.running import GRACE, CannotStart, steps, until_stopped

log = logging.getLogger(__name__)
_WAIT_SECONDS = 2.0
_HEAL_SECONDS = 5.0


FAKE_INVENTORY = Inventory(vcpus=64, memory_mb=262144, disk_gb=10000)
"""A host that does not exist is a large one."""


async def run(settings: Settings, driver_kind: str) -> None:
    """Poll until a signal says stop.

    Raises:
        CannotStart: another worker serves this host, or its hypervisor can't be used.
    """
    with _only_one(settings):
        driver, network = await asyncio.to_thread(_hypervisor, settings, driver_kind)
        rest = RestClient(settings.api_url, ClientCredentials(settings.keycloak))
        host = Host(settings, driver, network, rest)
        background: list[asyncio.Task[None]] = []
        try:
            await _patiently("enrol this host", host.upkeep.enrol)
            await _patiently("pay this host's debts", host.upkeep.settle)
            if isinstance(network, LinuxNetworkBackend):
                background.append(asyncio.create_task(_serve_network(network, host.files)))
            client = await _connected(settings)
            workers = host.workers(client)
            background.append(asyncio.create_task(host.upkeep.report_for_ever()))
            await until_stopped(workers, *background)
        finally:
            await rest.close()


class Host:
    """Everything one compute host's steps work with, wired."""

    def __init__(self, settings: Settings, driver: Driver, network: NetworkBackend, rest: RestClient) -> None:
        directory = settings.host_directory
        sealer = Sealer(settings.seal)
        self._settings = settings.host
        attempts = Attempts(directory / "attempts")
        cache = HostCache(directory / "images")
        self.files = GuestFiles(directory / "instances")
        copies = DiskCopies(directory / "instances")
        self.upkeep = Upkeep(settings, driver, network, self.files, copies, cache, attempts, rest)
        self._owners = (
            HostActivities(driver, attempts),
            ImageActivities(rest, sealer, cache, attempts),
            PortActivities(rest, sealer, network),
            PlugActivities(network, attempts, self.upkeep),
            VolumeActivities(rest, sealer),
            ConnectActivities(),
            HypervisorActivities(driver, self.files, attempts, rest),
            ParkActivities(driver, self.files, copies, attempts),
            DiskCopyActivities(driver, copies, attempts),
            UpkeepActivities(self.upkeep),
        )

    def workers(self, client: Client) -> list[Worker]:
        """One for each lane, with slots and threads of its own: a delete never waits behind a download."""
        slots = {
            Lane.URGENT: self._settings.urgent_slots,
            Lane.WORK: self._settings.work_slots,
            Lane.BULK: self._settings.bulk_slots,
        }
        return [self._worker(client, lane, count) for lane, count in slots.items()]

    def _worker(self, client: Client, lane: Lane, slots: int) -> Worker:
        return Worker(
            client,
            task_queue=host_queue(self._settings.name, lane),
            activities=[activity for owner in self._owners for activity in steps(owner)],
            activity_executor=ThreadPoolExecutor(slots, thread_name_prefix=lane),
            max_concurrent_activities=slots,
            max_concurrent_activity_task_polls=2,
            interceptors=[Heartbeats()],
            graceful_shutdown_timeout=GRACE,
        )


def _hypervisor(settings: Settings, kind: str) -> tuple[Driver, NetworkBackend]:
    directory = settings.host_directory
    if kind == "fake":
        driver = FakeDriver(settings.host.name, FAKE_INVENTORY, directory=directory / "fake")
        return driver, FakeNetworkBackend(directory / "network")
    link = connection.Connection(settings.host.libvirt_uri)
    try:
        accelerator = probe.choose(link, settings.host.accelerator, directory)
    except HostRejected as error:
        raise CannotStart(f"{error.message} Start libvirtd, and see `make logs`.") from error
    log.info("Guests run under %s. %s", accelerator.kind, accelerator.reason)
    return LibvirtDriver(link, settings, accelerator), LinuxNetworkBackend(settings.host, directory / "network")


async def _serve_network(network: LinuxNetworkBackend, files: GuestFiles) -> None:
    """Metadata for all networks of this host, and a look after their DHCP servers."""
    async with MetadataServer(network, files.metadata):
        while True:
            try:
                for repaired in await asyncio.to_thread(network.heal):
                    log.warning("Repaired: %s", repaired)
            except (KilonovaError, OSError) as error:
                log.warning("The host's networks could not be repaired: %s", error)
            await asyncio.sleep(_HEAL_SECONDS)


async def _connected(settings: Settings) -> Client:
    while True:
        try:
            return await connect(settings.temporal)
        except RuntimeError as error:
            log.warning("Temporal does not answer (%s); trying again.", error)
            await asyncio.sleep(_WAIT_SECONDS)


async def _patiently(what: str, call: Callable[[], Awaitable[None]]) -> None:
    """The control plane may start after its hosts."""
    while True:
        try:
            await call()
            return
        except KilonovaError as error:
            log.warning("Could not %s yet: %s", what, error.message)
            await asyncio.sleep(_WAIT_SECONDS)


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    directory = settings.host_directory
    directory.mkdir(parents=True, exist_ok=True)
    lock: Path = directory / "worker.lock"
    with lock.open("a+") as held, contextlib.ExitStack() as stack:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(
                f"Another worker serves host {settings.host.name}: stop it, or give this one another --host."
            ) from None
        held.truncate(0)
        held.write(f"{os.getpid()}\n")
        held.flush()
        stack.callback(held.truncate, 0)
        yield
