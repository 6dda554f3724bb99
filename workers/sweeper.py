"""What nobody does any more: work that was written down but never started, because whoever wrote it died before the
start, rows that a request holds although its run is over, hosts that were not compared for a while, and rows that have
settled.

Runs are asked for by their ids, one by one: Temporal's list of runs lags behind. A run that is open is left alone.
"""

import asyncio
import logging
import time
import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy.exc import DBAPIError
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.interfaces import TakeInterface
from activities.volume_data import SNAPSHOT, VOLUME, DataRef
from infra.db import interfaces, pruning, repairs, snapshots, volumes
from infra.db.engine import Database
from infra.db.interfaces import InterfaceChange
from infra.db.repairs import HeldAttachment, HeldServer
from infra.db.types import now
from infra.domain.errors import KilonovaError
from infra.temporal import attributes
from infra.temporal.queues import CONTROL
from infra.volume.backend import VolumeBackend
from workers.reconciling import Reconciling
from workflows import policies
from workflows.repair_attachment import RepairAttachment, RepairAttachmentParams
from workflows.repair_interface import RepairInterface
from workflows.repair_server import RepairParams, RepairServer
from workflows.volume_work import VolumeWork

log = logging.getLogger(__name__)
PAUSE_SECONDS = 30.0
PRUNE_SECONDS = 3600.0
HELD_SECONDS = 60.0
"""For so long nobody asks whether the run that holds a row is open: a run that ends its row closes within seconds."""
_BECAUSE = {
    WorkflowExecutionStatus.TERMINATED: "The request was terminated by an operator.",
    WorkflowExecutionStatus.TIMED_OUT: "The request was ended by a time limit of the workflow service.",
    WorkflowExecutionStatus.FAILED: "The request failed in a way that nobody foresaw.",
}
_ENDED = "The request ended before it was done."
_LOST = "The workflow service knows nothing of the request any more."


async def sweep_for_ever(client: Client, db: Database, backend: VolumeBackend) -> None:
    reconciling, pruned = Reconciling(), -PRUNE_SECONDS
    while True:
        try:
            await sweep(client, db)
            await reconciling.start_due(client, db)
            if time.monotonic() - pruned >= PRUNE_SECONDS:
                await prune(db)
                await asyncio.to_thread(backend.forget, pruning.TOMBSTONES.total_seconds())
                pruned = time.monotonic()
        except (RPCError, DBAPIError, KilonovaError, OSError) as error:
            log.warning("Not all that waits could be started, or dropped: %s.", type(error).__name__)
        await asyncio.sleep(PAUSE_SECONDS)


async def sweep(client: Client, db: Database) -> None:
    """Start a run for every volume and snapshot whose row asks for work, and a repair of what is held by no run."""
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
    before = now() - timedelta(seconds=HELD_SECONDS)
    for server in await db.read(repairs.held_servers, before):
        await repair_server(client, server)
    for attachment in await db.read(repairs.held_attachments, before):
        await repair_attachment(client, attachment)
    for change in await db.read(interfaces.held, before):
        await repair_interface(client, change)


async def prune(db: Database) -> None:
    """Drop all that has settled, in transactions that hold nobody up."""
    dropped = pruning.BATCH
    while dropped >= pruning.BATCH:
        dropped = await db.write(pruning.prune)
        # Where transactions run on this loop, others get their turn.
        await asyncio.sleep(0)


async def repair_server(client: Client, held: HeldServer) -> bool:
    """Start the repair of a server whose run is over; False: it is not over."""
    why = await lost(client, held.workflow_ids)
    if why is None:
        return False
    log.warning("Server %s is held by %s, which has no run: %s", held.server_id, held.op, why)
    params = RepairParams(server_id=held.server_id, op=_request_id(), seen_op=held.op, why=why)
    return await _start(client, RepairServer.run, params, held, f"server/{held.server_id}", held.server_id)


async def repair_attachment(client: Client, held: HeldAttachment) -> bool:
    """Start the repair of an attachment whose attach or detach is over; False: it is not over."""
    why = await lost(client, (held.workflow_id,))
    if why is None:
        return False
    log.warning("Volume %s is held by %s, which has no run: %s", held.volume_id, held.op, why)
    params = RepairAttachmentParams(
        attachment_id=held.attachment_id,
        server_id=held.server_id,
        volume_id=held.volume_id,
        op=_request_id(),
        seen_op=held.op,
        why=why,
    )
    return await _start(client, RepairAttachment.run, params, held, held.workflow_id, f"volume {held.volume_id}")


async def repair_interface(client: Client, held: InterfaceChange) -> bool:
    """Start the repair of an interface whose attach or detach is over; False: it is not over."""
    why = await lost(client, (held.workflow_id,))
    if why is None:
        return False
    log.warning("Port %s is held by %s, which has no run: %s", held.port_id, held.op, why)
    take = TakeInterface(server_id=held.server_id, port_id=held.port_id, seen_op=held.op, op=_request_id(), why=why)
    return await _start(client, RepairInterface.run, take, held, held.workflow_id, f"port {held.port_id}")


async def lost(client: Client, workflow_ids: tuple[str, ...]) -> str | None:
    """What became of the latest run of these ids, as a sentence for the user; None where one is open.

    Raises:
        RPCError: Temporal does not answer.
    """
    because = _LOST
    for workflow_id in workflow_ids:
        try:
            status = (await client.get_workflow_handle(workflow_id).describe()).status
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            continue
        if status is WorkflowExecutionStatus.RUNNING:
            return None
        if because is _LOST:
            because = _BECAUSE.get(status, _ENDED) if status else _ENDED
    return because


async def _start(
    client: Client,
    run: Any,
    params: Any,
    held: HeldServer | HeldAttachment | InterfaceChange,
    workflow_id: str,
    what: str,
) -> bool:
    try:
        await client.start_workflow(
            run,
            params,
            id=workflow_id,
            task_queue=CONTROL,
            # Whoever was quicker, a delete or another sweeper, has the row in hand.
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            task_timeout=policies.TASK_TIMEOUT,
            search_attributes=attributes.initial(held.server_id, held.project_id, "repairing"),
            static_summary=f"repair {what}",
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


def _request_id() -> str:
    return f"req-{uuid.uuid4()}"
