"""A cloud in one process: the real API, workflows, workers and database; hypervisors, networks and data are fakes.

Projects in it share nothing, so that many runs can go on at once.
"""

import asyncio
import base64
import contextlib
import gc
import hashlib
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from pydantic import SecretStr
from temporalio import workflow
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.plugin import SimplePlugin
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker, WorkerConfig

from api import start
from api.app import Door
from api.deps import Services
from api.turns import Turns
from infra.compute import disks
from infra.compute.fake import FakeDriver
from infra.db import flavors, images, networks, schema, servers, subnets, volumes
from infra.db.engine import Database
from infra.deploy.temporal import _DYNAMIC
from infra.domain.flavor import Flavor
from infra.domain.image import Image
from infra.domain.network import AllocationPool, Network, NetworkQuota, Subnet
from infra.domain.pci import PciAlias, PciDevice
from infra.domain.server import Server
from infra.domain.volume import Volume
from infra.identity.fake import FakeIdentity
from infra.image.file_store import FileStore
from infra.image.host_cache import HostCache
from infra.network.fake import FakeNetworkBackend
from infra.rest.client import RestClient
from infra.settings import ApiSettings, HostSettings, LimitSettings, SchedulerSettings, SealSettings, Settings
from infra.temporal import attributes
from infra.temporal.converter import data_converter
from infra.temporal.sealed import Sealer
from infra.volume.backend import Connection
from infra.volume.fake import FakeBackend
from tests.engine import core, service
from tests.engine.engine import Engine
from tests.saga.faults import Faults
from workers import control
from workers.compute import FAKE_INVENTORY, Host
from workers.registry import WORKFLOWS

IMAGE = "11111111-1111-4111-8111-111111111111"
OTHER_IMAGE = "22222222-2222-4222-8222-222222222222"
FLAVOR, LARGER, DEVICE_FLAVOR = "1", "2", "3"
GPU = PciAlias(name="gpu", vendor_id="10de", product_id="1db6")
"""What a server of ``DEVICE_FLAVOR`` has one of to itself."""
PASSWORD = "pass-word-1"
_KEY = base64.b64encode(b"k" * 32).decode()


class FileVolumes(FakeBackend):
    """Hosts look whether they reach a volume's file."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        directory.mkdir()

    def create(self, volume_id: str, size_gb: int, *args: Any, **more: Any) -> None:
        super().create(volume_id, size_gb, *args, **more)
        disks.create_blank(self._directory / volume_id, 2**20)

    def delete(self, volume_id: str) -> None:
        super().delete(volume_id)
        (self._directory / volume_id).unlink(missing_ok=True)

    def incoming(self, volume_id: str) -> Path:
        return self._directory / volume_id

    def take_in(self, volume_id: str, path: Path) -> None:
        super().take_in(volume_id, path)
        if path.exists():
            path.rename(self._directory / volume_id)

    def connection(self, volume_id: str) -> Connection:
        return Connection(volume_id=volume_id, path=self._directory / volume_id, format="qcow2")


@dataclass
class FakeHost:
    settings: HostSettings
    directory: Path
    driver: FakeDriver
    network: FakeNetworkBackend
    cache: HostCache
    host: Host
    running: list[asyncio.Task[None]] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)

    async def stop(self) -> None:
        await asyncio.gather(*(worker.shutdown() for worker in self.workers))
        await asyncio.gather(*self.running, return_exceptions=True)
        self.workers, self.running = [], []


@dataclass(frozen=True)
class Place:
    """A project of its own, with what a boot needs, and the id that its server will have."""

    project_id: str
    user_id: str
    token: str
    network_id: str
    volume_id: str
    key: str
    server_id: str

    @property
    def workflow_id(self) -> str:
        return f"server/{self.server_id}"

    @property
    def port_id(self) -> str:
        """Of a port of the user's own, where there is one."""
        return str(uuid.uuid5(uuid.UUID(self.network_id), "port"))

    @property
    def snapshot_id(self) -> str:
        """Of a snapshot of its volume, where there is one."""
        return str(uuid.uuid5(uuid.UUID(self.volume_id), "snapshot"))


class World:
    def __init__(
        self, settings: Settings, client: Client, engine: Engine | None, faults: Faults, listening: socket.socket
    ) -> None:
        self.settings = settings
        self.client = client
        self.engine = engine
        """In the place of a Temporal server; None where there is one."""
        self.faults = faults
        self.db = Database(settings.database_url)
        schema.create_all(self.db)
        self.identity = FakeIdentity(remember_seconds=3600)
        self.volumes = FileVolumes(settings.state / "volumes")
        self.images = FileStore(settings.image_directory)
        self.hosts: dict[str, FakeHost] = {}
        self._projects: list[str] = []
        self.services = Services(
            settings,
            self.db,
            self.identity,
            self.images,
            self.volumes,
            client,
            Sealer(settings.seal),
            Turns(settings.api.admissions_at_once),
        )
        self._listening = listening
        # As in production: longer than any client keeps a connection.
        keep = settings.api.keep_alive_seconds
        self._app = Door(self.services)
        # Without a server there is nothing that a socket could show.
        direct = httpx.ASGITransport(self._app, raise_app_exceptions=False) if engine is not None else None
        self.rest = RestClient(settings.api_url, self.identity, direct)
        self.http = httpx.AsyncClient(base_url=settings.api_url, timeout=60, transport=direct)
        self._door = _Server(
            uvicorn.Config(self._app, lifespan="off", log_config=None, access_log=False, timeout_keep_alive=keep)
        )
        self._serving: asyncio.Task[Any] | None = None
        self._control: list[asyncio.Task[None]] = []
        self._workers: list[Worker] = []

    async def begin(self, host_names: tuple[str, ...]) -> None:
        self._serving = asyncio.create_task(self._door.serve([self._listening]))
        self.start_control()
        await self._seed()
        for name in host_names:
            await self.add_host(name, pci_devices=_devices(20))
            self.start_host(name)

    async def end(self) -> None:
        await asyncio.gather(*(host.stop() for host in self.hosts.values()))
        await self.stop_control()
        await self.http.aclose()
        await self.rest.close()
        self._door.should_exit = True
        if self._serving is not None:
            await self._serving
        self.db.close()

    def start_control(self) -> None:
        self._workers = control.build(self.settings, self.client, self.db, self.identity, self.rest, self.volumes)
        self._control = [asyncio.create_task(worker.run()) for worker in self._workers]

    async def stop_control(self) -> None:
        """As a crash would: what runs is not waited for, and nothing that was cached is left."""
        await asyncio.gather(*(worker.shutdown() for worker in self._workers))
        await asyncio.gather(*self._control)
        self._workers, self._control = [], []
        # Runs dropped from a cache end as garbage, whose errors pytest formats: not while something is being parsed,
        # which Python 3.11 can't bear.
        gc.collect()

    async def add_host(self, name: str, *, pci_devices: tuple[PciDevice, ...] = (), **inventory: Any) -> FakeHost:
        """Known and ready; nobody polls its queues before ``start_host``."""
        driver = FakeDriver(name, FAKE_INVENTORY.model_copy(update=inventory), pci_devices=pci_devices)
        # What a proof holds up must not hold up the others.
        settings = HostSettings(name=name, work_slots=50, bulk_slots=50)
        return await self.add_real_host(settings, driver, FakeNetworkBackend())

    async def add_real_host(self, settings: HostSettings, driver: Any, network: Any) -> FakeHost:
        """With any driver and network: of their own, ``snapshot`` asks for their devices."""
        made = self.hosts[settings.name] = self._host(settings, driver, network)
        await made.host.upkeep.enrol()
        await made.host.upkeep.settle()
        return made

    def _host(self, host: HostSettings, driver: Any, network: Any) -> FakeHost:
        settings = self.settings.model_copy(update={"host": host})
        directory = settings.host_directory
        wired = Host(settings, driver, network, self.rest)
        return FakeHost(host, directory, driver, network, HostCache(directory / "images"), wired)

    def start_host(self, name: str) -> None:
        host = self.hosts[name]
        host.workers = host.host.workers(self.client)
        host.running = [asyncio.create_task(worker.run()) for worker in host.workers]

    async def restart(self, **changes: Any) -> None:
        """All programs end as in a crash and start again, with other settings; hosts begin by paying their debts."""
        await asyncio.gather(self.stop_control(), *(host.stop() for host in self.hosts.values()))
        self.settings = self.settings.model_copy(update=changes)
        self.services = replace(self.services, settings=self.settings, sealer=Sealer(self.settings.seal))
        self._app.apps, self._app.services = Door(self.services).apps, self.services
        self.start_control()
        for name, host in self.hosts.items():
            again = self.hosts[name] = self._host(host.settings, host.driver, host.network)
            await again.host.upkeep.settle()
            self.start_host(name)

    # -- what is in it

    async def _seed(self) -> None:
        tiny = Flavor(id=FLAVOR, name="m1.tiny", vcpus=1, ram_mb=128, disk_gb=1)
        device = {"id": DEVICE_FLAVOR, "name": "g1.tiny", "extra_specs": {"pci_passthrough:alias": "gpu:1"}}
        self.db.write_now(flavors.create, tiny)
        self.db.write_now(flavors.create, tiny.model_copy(update=device))
        self.db.write_now(flavors.create, Flavor(id=LARGER, name="m1.small", vcpus=2, ram_mb=256, disk_gb=2))
        await self._add_image(IMAGE, b"guest" * 2000 + bytes(240))
        await self._add_image(OTHER_IMAGE, b"other" * 2000 + bytes(240))
        for name in ("alice", "root"):
            await self.identity.create_user(name, PASSWORD)

    async def _add_image(self, image_id: str, data: bytes) -> None:
        time = datetime.now(UTC)

        async def chunks() -> AsyncIterator[bytes]:
            yield data

        stored = await self.images.put(image_id, "raw", chunks(), len(data))
        image = Image(
            id=image_id,
            name="guest",
            owner="0" * 32,
            status="active",
            visibility="public",
            disk_format="raw",
            container_format="bare",
            size=stored.size,
            virtual_size=stored.virtual_size,
            checksum=stored.checksum,
            hash_algo="sha512",
            hash_value=hashlib.sha512(data).hexdigest(),
            created_at=time,
            updated_at=time,
        )
        self.db.write_now(images.create, image)

    async def place(self) -> Place:
        """A new project with a network and an empty volume."""
        if not self._projects:
            self._projects = await self._new_projects()
        project = self._projects.pop()
        alice = (await self.identity.users("alice"))[0]
        token = await self.identity.password_token("alice", PASSWORD, project=project)
        key = uuid.uuid4().hex
        place = Place(
            project_id=project,
            user_id=alice.id,
            token=token,
            network_id=str(uuid.uuid4()),
            volume_id=str(uuid.uuid4()),
            key=key,
            server_id=str(uuid.uuid5(start._NAMESPACE, f"{project}/{key}")),
        )
        self.db.write_now(_furnish, place)
        self.volumes.create(place.volume_id, 1)
        return place

    async def _new_projects(self) -> list[str]:
        """Some at once: each grant has every token looked at anew."""
        made = []
        users = {role: (await self.identity.users(name))[0] for name, role in (("alice", "member"), ("root", "admin"))}
        for _ in range(50):
            project = await self.identity.create_project(uuid.uuid4().hex)
            for role, user in users.items():
                await self.identity.grant(user.id, project.id, role)
            made.append(project.id)
        return made

    def volumes_of(self, project_id: str) -> set[str]:
        return {volume.id for volume in self.db.read_now(volumes.all_of, project_id)}

    def server(self, place: Place) -> Server | None:
        """Its row; deleted ones too."""
        return self.db.read_now(servers.find, place.server_id)

    # -- what users do

    async def call(
        self, place: Place, method: str, path: str, body: Any = None, *, status: int | None = None, **headers: str
    ) -> httpx.Response:
        sent = {"X-Auth-Token": place.token, "X-OpenStack-Nova-API-Version": "2.79", **headers}
        reply = await self.http.request(method, path, json=body, headers=sent)
        if status is not None:
            assert reply.status_code == status, (reply.status_code, reply.text)
        return reply

    async def administrated(self, place: Place) -> Place:
        """The same project, in the hands of an administrator."""
        return replace(place, token=await self.identity.password_token("root", PASSWORD, project=place.project_id))

    async def as_admin(self, place: Place, method: str, path: str, body: Any = None) -> Any:
        reply = await self.call(await self.administrated(place), method, path, body)
        assert reply.is_success, (reply.status_code, reply.text)
        return reply.json()

    async def boot(self, place: Place, *, status: int | None = 202, **fields: Any) -> httpx.Response:
        """Image, one network, an existing volume, config drive and user data."""
        body = boot_body(place) | fields
        headers = {"Idempotency-Key": place.key}
        return await self.call(place, "POST", "/compute/v2.1/servers", {"server": body}, status=status, **headers)

    async def active(self, place: Place, **fields: Any) -> Server:
        """A server, booted the usual way."""
        await self.boot(place, **fields)
        await self.settled(place)
        server = self.server(place)
        assert server is not None
        assert server.status == "ACTIVE", server.fault
        return server

    async def act(self, place: Place, action: str, *, status: int | None = 202, argument: Any = None) -> httpx.Response:
        path = f"/compute/v2.1/servers/{place.server_id}/action"
        return await self.call(place, "POST", path, {action: argument}, status=status)

    async def delete(self, place: Place, *, status: int | None = 204) -> httpx.Response:
        return await self.call(place, "DELETE", f"/compute/v2.1/servers/{place.server_id}", status=status)

    async def attach(self, place: Place, *, status: int | None = 200) -> httpx.Response:
        body = {"volumeAttachment": {"volumeId": place.volume_id}}
        path = f"/compute/v2.1/servers/{place.server_id}/os-volume_attachments"
        return await self.call(place, "POST", path, body, status=status)

    async def detach(self, place: Place, *, status: int | None = 202) -> httpx.Response:
        path = f"/compute/v2.1/servers/{place.server_id}/os-volume_attachments/{place.volume_id}"
        return await self.call(place, "DELETE", path, status=status)

    # -- runs

    def handle(self, workflow_id: str) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(workflow_id)

    async def status_of(self, workflow_id: str) -> WorkflowExecutionStatus | None:
        try:
            return (await self.handle(workflow_id).describe()).status
        except RPCError:
            return None

    def workflow_ids(self, place: Place) -> tuple[str, ...]:
        return (
            place.workflow_id,
            f"{place.workflow_id}/volume/{place.volume_id}",
            f"{place.workflow_id}/interface/{place.port_id}",
            f"volume/{place.volume_id}",
            f"snapshot/{place.snapshot_id}",
        )

    async def open_runs(self, place: Place) -> list[str]:
        ids = [id for id in self.workflow_ids(place) if id in self.faults.begun]
        running = WorkflowExecutionStatus.RUNNING
        return [id for id in ids if await self.status_of(id) == running]

    async def replay(self, workflow_id: str) -> None:
        """The latest run of this id again, from its history, in the sandbox. Raises where it is not deterministic.

        Without a server all its runs, as a worker would that takes them over.
        """
        if self.engine is not None:
            assert not self.engine.failed_tasks
            await self.engine.repeat(workflow_id)
            return
        history = await self.handle(workflow_id).fetch_history()
        kind = history.events[0].workflow_execution_started_event_attributes.workflow_type.name
        # Only its own class: the sandbox loads each anew.
        own = [known for known in WORKFLOWS if workflow._Definition.must_from_class(known).name == kind]
        await Replayer(workflows=own, data_converter=data_converter).replay_workflow(history)

    async def settled(self, place: Place, seconds: float = 120.0) -> None:
        """All runs of a project have ended."""

        async def quiet() -> bool:
            for open_run in await self.open_runs(place):
                with contextlib.suppress(WorkflowFailureError):
                    await self.handle(open_run).result()
            # What a run has told to stop may still be on its way to the end.
            return not await self.open_runs(place) and not self.faults.running.get(place.workflow_id)

        await until(quiet, seconds, lambda: f"runs of {place.server_id} are still open")


def _devices(count: int) -> tuple[PciDevice, ...]:
    return tuple(
        PciDevice(address=f"0000:65:{n:02x}.0", vendor_id=GPU.vendor_id, product_id=GPU.product_id, iommu_group=n)
        for n in range(count)
    )


def boot_body(place: Place) -> dict[str, Any]:
    return {
        "name": "web",
        "flavorRef": FLAVOR,
        "imageRef": IMAGE,
        "networks": [{"uuid": place.network_id}],
        "block_device_mapping_v2": [
            {"source_type": "image", "destination_type": "local", "uuid": IMAGE, "boot_index": 0},
            {"source_type": "volume", "destination_type": "volume", "uuid": place.volume_id, "boot_index": -1},
        ],
        "config_drive": True,
        "user_data": base64.b64encode(b"#!/bin/sh\n").decode(),
    }


async def until(true: Callable[[], Any], seconds: float, message: Callable[[], str]) -> None:
    """A condition that waits itself is stopped at the end of the time."""
    try:
        async with asyncio.timeout(seconds) as limit:
            while True:
                result = true()
                if asyncio.iscoroutine(result):
                    result = await result
                if result:
                    return
                await asyncio.sleep(0.03)
    except TimeoutError:
        if not limit.expired():
            raise
        raise AssertionError(message()) from None


def _furnish(session: Any, place: Place) -> None:
    moment = datetime.now(UTC)
    network = Network(
        id=place.network_id, project_id=place.project_id, name="net", vni=0, created_at=moment, updated_at=moment
    )
    networks.create(session, network, NetworkQuota())
    subnet = Subnet(
        id=str(uuid.uuid4()),
        project_id=place.project_id,
        network_id=place.network_id,
        cidr="10.0.0.0/24",
        gateway_ip="10.0.0.1",
        enable_dhcp=False,
        allocation_pools=(AllocationPool(start="10.0.0.2", end="10.0.0.254"),),
        created_at=moment,
        updated_at=moment,
    )
    subnets.create(session, subnet, NetworkQuota())
    volume = Volume(
        id=place.volume_id,
        project_id=place.project_id,
        user_id=place.user_id,
        size_gb=1,
        status="available",
        created_at=moment,
    )
    volumes.create(session, volume, {"volumes": 10, "gigabytes": 100, "snapshots": 10})


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Proofs(SimplePlugin):
    """Every worker of a world gets its faults. Runs are replayed afterwards, in the sandbox (``World.replay``): a
    worker without a cache would replay them at every task, but it also repeats local activities at random."""

    def __init__(self, faults: Faults) -> None:
        super().__init__("proofs", interceptors=[faults])

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        config = super().configure_worker(config)
        config["graceful_shutdown_timeout"] = timedelta(0)
        return config


_NO_GATE = {"host_down_seconds": 3600, "boots_in_flight": 50, "pci_alias": (GPU,)}
"""What a proof holds up must not hold up the others."""


@asynccontextmanager
async def world(
    folder: Path, server: tuple[str, str] | Engine, hosts: tuple[str, ...], **scheduler: Any
) -> AsyncIterator[World]:
    """On a server, by its address and a namespace in it, or on an engine in its place."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.set_inheritable(False)
    settings = Settings(
        state_dir=folder,
        api=ApiSettings(port=listening.getsockname()[1], admissions_at_once=100),
        seal=SealSettings(keys={"k": SecretStr(_KEY)}),
        scheduler=SchedulerSettings(**{**_NO_GATE, **scheduler}),
        limits=LimitSettings(),
    )
    faults = Faults()
    plugins = [_Proofs(faults)]
    if isinstance(server, Engine):
        engine, client = server, service.connect(server, data_converter, plugins)
    else:
        address, namespace = server
        engine = None
        client = await Client.connect(address, namespace=namespace, data_converter=data_converter, plugins=plugins)
    made = World(settings, client, engine, faults, listening)
    with core.in_place():
        await made.begin(hosts)
        try:
            yield made
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await made.end()


@asynccontextmanager
async def temporal_server(*namespaces: str) -> AsyncIterator[str]:
    """A server of its own, in memory; yields its address."""
    extra = [part for key, value in _DYNAMIC.items() for part in ("--dynamic-config-value", f"{key}={value}")]
    # What waits on a queue is told as it is now, not as it was seconds ago.
    extra += ["--dynamic-config-value", 'matching.taskQueueInfoByBuildIdTTL="1ms"']
    extra += [part for name in namespaces for part in ("--namespace", name)]
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(Path(sys.executable).with_name("temporal")),
        dev_server_log_level="error",
        dev_server_extra_args=extra,
        search_attributes=attributes.KEYS,
    ) as environment:
        yield environment.client.service_client.config.target_host
