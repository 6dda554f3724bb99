"""How the developer stack runs Temporal: the official dev server, with its database in a file."""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from infra.settings import Settings
from infra.temporal import attributes

_T = TypeVar("_T")

# WAL without a sync at every commit trebles the throughput; what was acknowledged survives a kill.
_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL")
_DYNAMIC = {
    # The default of 20 polls a second makes every hop of an idle server wait up to 50 ms.
    "history.transferProcessorMaxPollRPS": "1000",
    "history.timerProcessorMaxPollRPS": "1000",
    "history.visibilityProcessorMaxPollRPS": "1000",
    # At every poll a queue goes through all tasks done since it last took note of them: a tenth of the server's time
    # in a burst with the default of 30 s.
    "history.transferProcessorUpdateAckInterval": '"2s"',
    "history.timerProcessorUpdateAckInterval": '"2s"',
    "history.visibilityProcessorUpdateAckInterval": '"2s"',
    # Timers and retries may otherwise fire up to a second late.
    "history.timerProcessorMaxTimeShift": '"1ms"',
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    # Off by default; without it one project's backlog holds up all others.
    "matching.enableFairness": "true",
    # Every host polls three queues of its own.
    "frontend.namespaceCount": "20000",
    "matching.longPollExpirationInterval": '"290s"',
}


def command(settings: Settings) -> list[str]:
    """The command that runs the dev server of this stack in the foreground."""
    deploy = settings.deploy
    arguments = [
        str(Path(sys.executable).with_name("temporal")),
        *("server", "start-dev", "--ip", "127.0.0.1", "--log-level", "error", "--ui-disable-news-fetch"),
        *("--port", str(deploy.temporal_port), "--ui-port", str(deploy.temporal_ui_port)),
        *("--db-filename", str(settings.state / "temporal.db")),
    ]
    for pragma in _PRAGMAS:
        arguments += ["--sqlite-pragma", pragma]
    for key, value in _DYNAMIC.items():
        arguments += ["--dynamic-config-value", f"{key}={value}"]
    for name in attributes.NAMES:
        arguments += ["--search-attribute", f"{name}=Keyword"]
    return arguments


def answers(settings: Settings) -> bool:
    """Whether the server of this stack takes requests."""
    return _asked(_connect(settings)) is not None


def polls(settings: Settings, queue: str, pid: int) -> bool:
    """Whether the process ``pid`` has asked for activities of a task queue."""

    async def pollers() -> list[str]:
        client = await _connect(settings)
        request = DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
        return [poller.identity for poller in (await client.workflow_service.describe_task_queue(request)).pollers]

    # The SDK names a process "<pid>@<host>".
    return any(identity.startswith(f"{pid}@") for identity in _asked(pollers()) or [])


async def _connect(settings: Settings) -> Client:
    return await Client.connect(f"127.0.0.1:{settings.deploy.temporal_port}")


def _asked(question: Coroutine[Any, Any, _T]) -> _T | None:
    """The server's answer; None when it gives none in 5 s."""
    try:
        return asyncio.run(asyncio.wait_for(question, 5))
    except (RuntimeError, RPCError, TimeoutError):
        return None
