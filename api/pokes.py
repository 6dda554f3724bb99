"""Hosts hear that their networking changed: many changes of one host become one run.

Only the fast way: the change is counted with what was changed, and a host that heard nothing finds out by its next
report.
"""

import asyncio
import logging
from collections.abc import Iterable

from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from infra.temporal.queues import CONTROL
from workflows import policies
from workflows.sync_host_network import Synced, SyncHostNetwork, SyncParams

log = logging.getLogger(__name__)


class Pokes:
    """Of one API process."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._running: set[asyncio.Task[None]] = set()

    def poke(self, client: Client, hosts: Iterable[str], pause: float) -> None:
        """Tell these hosts, each ``pause`` seconds after it was last told at the soonest; returns at once."""
        loop = asyncio.get_running_loop()
        for host in hosts:
            at = max(loop.time(), self._last.get(host, 0.0) + pause)
            waiting = self._waiting.get(host)
            if waiting is not None:
                if waiting.when() <= at:
                    continue
                waiting.cancel()
            self._waiting[host] = loop.call_at(at, self._begin, client, host)

    def _begin(self, client: Client, host: str) -> None:
        del self._waiting[host]
        self._last[host] = asyncio.get_running_loop().time()
        task = asyncio.create_task(_try(client, host))
        self._running.add(task)
        task.add_done_callback(self._running.discard)


async def _try(client: Client, host: str) -> None:
    try:
        await tell(client, host)
    except (RPCError, RuntimeError) as error:
        log.warning("Host %s was not told that its network changed, and reads it with its next report: %s", host, error)


async def tell(client: Client, host: str) -> WorkflowHandle[SyncHostNetwork, Synced]:
    """Have the host read what its networking should be, once after this call at least.

    Raises:
        RPCError: Temporal does not answer.
    """
    return await client.start_workflow(
        SyncHostNetwork.run,
        SyncParams(host=host),
        id=f"host/{host}/network",
        task_queue=CONTROL,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal="changed",
        task_timeout=policies.TASK_TIMEOUT,
        static_summary=f"network of {host}",
        rpc_timeout=policies.POKE_TIMEOUT,
    )
