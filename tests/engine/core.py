"""What a Python worker has below it: it polls activations and activity tasks, and completes them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from temporalio.bridge import worker as bridge
from temporalio.bridge.proto import ActivityHeartbeat, ActivityTaskCompletion, NamespaceInfo
from temporalio.bridge.proto.activity_task import ActivityTask
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter._extstore import StorageOperationMetrics

if TYPE_CHECKING:
    from tests.engine.activities import Activity
    from tests.engine.engine import Engine


class Core:
    """In the place of ``temporalio.bridge.worker.Worker``."""

    def __init__(self, engine: "Engine", config: Any) -> None:
        self.engine = engine
        self.queue: str = config.task_queue
        self.runs_workflows: bool = config.task_types.enable_workflows
        self.stopping = False
        self._activations: asyncio.Queue[WorkflowActivation | None] = asyncio.Queue()
        self._tasks: asyncio.Queue[ActivityTask | None] = asyncio.Queue()
        self._running: dict[bytes, Activity] = {}
        engine.register(self)

    # -- from the engine

    def activate(self, activation: WorkflowActivation) -> None:
        self._activations.put_nowait(activation)

    def begin(self, activity: "Activity") -> None:
        self._running[activity.token] = activity
        self._tasks.put_nowait(activity.start(self))

    def tell(self, task: ActivityTask) -> None:
        """That an activity which runs here is to stop."""
        if task.task_token in self._running:
            self._tasks.put_nowait(task)

    # -- from the worker

    async def validate(self) -> NamespaceInfo:
        return NamespaceInfo()

    async def poll_workflow_activation(self) -> WorkflowActivation:
        return await _next(self._activations)

    async def poll_activity_task(self) -> ActivityTask:
        while True:
            task = await _next(self._tasks)
            # What has ended meanwhile has nothing to be told.
            if task.HasField("start") or task.task_token in self._running:
                return task

    async def complete_workflow_activation(self, completion: WorkflowActivationCompletion) -> None:
        self.engine.activated(completion)

    async def complete_activity_task(self, completion: ActivityTaskCompletion) -> None:
        activity = self._running.pop(completion.task_token)
        # What was given up meanwhile is of no interest.
        if activity.token == completion.task_token and activity.core is self:
            activity.ended(completion.result)
        self._end_tasks()

    def record_activity_heartbeat(self, heartbeat: ActivityHeartbeat) -> None:
        """Cancels are told without."""

    def initiate_shutdown(self) -> None:
        if self.stopping:
            return
        self.stopping = True
        self.engine.unregister(self)
        for activity in [*self._running.values()]:
            activity.stop()
        self._activations.put_nowait(None)
        self._end_tasks()

    async def finalize_shutdown(self) -> None:
        return

    def _end_tasks(self) -> None:
        if self.stopping and not self._running:
            self._tasks.put_nowait(None)


async def _next(queue: "asyncio.Queue[Any]") -> Any:
    found = await queue.get()
    if found is None:
        # Whoever asks again gets the same answer.
        queue.put_nowait(None)
        raise bridge.PollShutdownError("The worker shuts down.")
    return found


@contextmanager
def in_place() -> Iterator[None]:
    """Workers of a client that was made by ``service.connect`` get this core; all others get the SDK's."""
    real = bridge.Worker.create

    def create(client: Any, config: Any) -> Any:
        engine = getattr(client, "engine", None)
        return real(client, config) if engine is None else Core(engine, config)

    with (
        mock.patch.object(bridge.Worker, "create", staticmethod(create)),
        mock.patch.object(bridge, "decode_activation", _uncoded),
        mock.patch.object(bridge, "encode_completion", _uncoded),
    ):
        yield


async def _uncoded(*_: Any, **__: Any) -> Any:
    """There is no codec and no other store for payloads: the SDK would visit each of them three times all the same."""
    return StorageOperationMetrics()
