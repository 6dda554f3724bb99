"""When each host is compared with what should be there: every few minutes, and when an operator asks."""

from datetime import UTC, datetime, timedelta

from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from infra.db import hosts
from infra.db.engine import Database
from infra.temporal.queues import CONTROL
from workflows import policies
from workflows.reconcile_host import Reconciled, ReconcileHost, ReconcileParams

EVERY = timedelta(minutes=10)
AT_ONCE = 50
"""Runs that are started in one sweep: many hosts that are due together, as after an upgrade, take turns."""


class Reconciling:
    """Starts the runs that are due. When a host was last compared stands in its latest run, so that a restart of this
    worker, or a second one beside it, changes nothing."""

    def __init__(self) -> None:
        self._due: dict[str, datetime] = {}

    async def start_due(self, client: Client, db: Database) -> None:
        """
        Raises:
            RPCError: Temporal does not answer.
        """
        moment, room = datetime.now(UTC), AT_ONCE
        for host in await db.read(hosts.snapshot):
            if self._due.get(host.name, moment) > moment or room == 0:
                continue
            last = await _last(client, host.name)
            if last is None or last + EVERY <= moment:
                last, room = moment, room - 1
                await client.start_workflow(
                    ReconcileHost.run,
                    ReconcileParams(host=host.name),
                    id=_id(host.name),
                    task_queue=CONTROL,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    task_timeout=policies.TASK_TIMEOUT,
                    static_summary=f"reconcile {host.name}",
                )
            self._due[host.name] = last + EVERY


async def reconcile(client: Client, host: str, request_id: str) -> Reconciled:
    """Compare the host now, or wait for who does so already.

    Raises:
        RPCError: Temporal does not answer, or no worker takes the run.
    """
    result: Reconciled = await client.execute_update_with_start_workflow(
        "run",
        id=request_id,
        result_type=Reconciled,
        start_workflow_operation=WithStartWorkflowOperation(
            ReconcileHost.run,
            ReconcileParams(host=host),
            id=_id(host),
            task_queue=CONTROL,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            task_timeout=policies.TASK_TIMEOUT,
            static_summary=f"reconcile {host}",
        ),
        rpc_timeout=policies.RECONCILE_TIMEOUT,
    )
    return result


async def _last(client: Client, host: str) -> datetime | None:
    """When the latest run of a host closed, or began; None where there was none."""
    try:
        found = await client.get_workflow_handle(_id(host)).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    return found.close_time or found.start_time


def _id(host: str) -> str:
    return f"host/{host}"
