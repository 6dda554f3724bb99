"""Work that was written down but never started, because whoever wrote it died before the start.

The row of a volume or snapshot says what is to be done to its data. A run that is open already is left alone.
"""

import asyncio
import logging

from sqlalchemy.exc import DBAPIError
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from activities.volume_data import SNAPSHOT, VOLUME, DataRef
from infra.db import snapshots, volumes
from infra.db.engine import Database
from infra.temporal.queues import CONTROL
from workflows import policies
from workflows.volume_work import VolumeWork

log = logging.getLogger(__name__)
PAUSE_SECONDS = 30.0


async def sweep_for_ever(client: Client, db: Database) -> None:
    while True:
        try:
            await sweep(client, db)
        except (RPCError, DBAPIError) as error:
            log.warning("Work that waits could not be started: %s.", type(error).__name__)
        await asyncio.sleep(PAUSE_SECONDS)


async def sweep(client: Client, db: Database) -> None:
    """Start a run for every volume and snapshot whose row asks for work."""
    waiting = [(VOLUME, one) for one in await db.read(volumes.pending)]
    waiting += [(SNAPSHOT, one) for one in await db.read(snapshots.pending)]
    for kind, one in waiting:
        await client.start_workflow(
            VolumeWork.run,
            DataRef(id=one, kind=kind),
            id=f"{kind}/{one}",
            task_queue=CONTROL,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            task_timeout=policies.TASK_TIMEOUT,
            static_summary=f"{kind} {one}",
        )
