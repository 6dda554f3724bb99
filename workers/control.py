"""The control worker: workflows, records, scheduling, and the copies of volume data."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from temporalio.client import Client
from temporalio.worker import FixedSizeSlotSupplier, UnsandboxedWorkflowRunner, Worker, WorkerTuner

from activities.attachments import AttachmentActivities
from activities.conductor import ConductorActivities
from activities.drift import DriftActivities
from activities.identity import IdentityActivities
from activities.image_records import ImageRecordActivities
from activities.interfaces import InterfaceActivities
from activities.moves import MoveActivities
from activities.networks import PortActivities
from activities.records import RecordsActivities
from activities.repairs import RepairActivities
from activities.scheduling import SchedulingActivities
from activities.shelving import ShelvingActivities
from activities.volume_data import VolumeDataActivities
from activities.volume_snapshots import SnapshotActivities
from activities.volumes import VolumeActivities
from infra.db.engine import Database
from infra.identity.keycloak import KeycloakProvider
from infra.identity.provider import TokenVerifier
from infra.identity.service import ClientCredentials
from infra.image.file_store import FileStore
from infra.rest.client import RestClient
from infra.scheduler.service import Scheduler
from infra.settings import Settings
from infra.temporal import queues
from infra.temporal.client import connect
from infra.temporal.heartbeats import Heartbeats
from infra.temporal.sealed import Sealer
from infra.volume.backend import VolumeBackend
from infra.volume.qcow2 import Qcow2Backend
from workers.gate import Gate
from workers.registry import WORKFLOWS
from workers.running import GRACE, steps, until_stopped
from workers.sweeper import sweep_for_ever
from workflows import policies


async def run(settings: Settings) -> None:
    """Poll until a signal says stop."""
    db = Database(
        settings.database_url, synchronous=settings.database.synchronous, pool_size=settings.database.pool_size
    )
    identity = KeycloakProvider(settings)
    rest = RestClient(settings.api_url, ClientCredentials(settings.keycloak))
    client = await connect(settings.temporal)
    volumes = Qcow2Backend(settings.volume_directory)
    workers = build(settings, client, db, identity, rest, volumes)
    sweeping = asyncio.create_task(sweep_for_ever(client, db, volumes))
    try:
        await until_stopped(workers, sweeping)
    finally:
        await rest.close()
        await identity.close()
        db.close()


def build(
    settings: Settings,
    client: Client,
    db: Database,
    identity: TokenVerifier,
    rest: RestClient,
    volumes: VolumeBackend,
) -> list[Worker]:
    """The workers of the control queues, on whatever backends they are given."""
    sealer = Sealer(settings.seal)
    control = (
        IdentityActivities(identity, sealer, db),
        RecordsActivities(db, settings.limits, settings.scheduler.pci_alias),
        MoveActivities(db, settings.scheduler.pci_alias),
        ConductorActivities(db),
        AttachmentActivities(db),
        ShelvingActivities(db),
        InterfaceActivities(db),
        RepairActivities(db),
        DriftActivities(db),
        ImageRecordActivities(rest, sealer),
        SnapshotActivities(rest, sealer),
        PortActivities(rest, sealer),
        VolumeActivities(rest, sealer),
    )
    gate = Gate(db, settings.scheduler.boots_in_flight)
    scheduling = SchedulingActivities(db, Scheduler(db, settings.scheduler), gate.let_in)
    data = VolumeDataActivities(db, volumes, FileStore(settings.image_directory), settings)
    # Claims and copies run on queues of their own; what undoes and records them runs on the workflows' own.
    every = [activity for owner in (*control, scheduling, data) for activity in steps(owner)]
    return [
        _worker(
            client,
            queues.CONTROL,
            every,
            4,
            workflows=WORKFLOWS,
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_cached_workflows=2000,
            sticky_queue_schedule_to_start_timeout=policies.STICKY_TIMEOUT,
        ),
        _worker(client, queues.SCHEDULE, steps(scheduling), tuner=_claims_pass(gate)),
        _worker(client, queues.DATA, steps(data), 4, max_concurrent_activities=4),
    ]


def _claims_pass(gate: Gate) -> WorkerTuner:
    none_else = FixedSizeSlotSupplier(1)
    return WorkerTuner.create_composite(
        workflow_supplier=none_else,
        activity_supplier=gate,
        local_activity_supplier=none_else,
        nexus_supplier=none_else,
    )


def _worker(client: Client, queue: str, activities: list[Any], threads: int = 0, **more: Any) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        activities=activities,
        activity_executor=ThreadPoolExecutor(threads, thread_name_prefix=queue) if threads else None,
        interceptors=[Heartbeats()],
        graceful_shutdown_timeout=GRACE,
        **more,
    )
