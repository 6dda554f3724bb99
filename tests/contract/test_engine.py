"""The engine that proofs run on answers as Temporal does: the same workflows on both, and the same is seen of them."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from temporalio.common import RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from infra.temporal.converter import data_converter
from infra.temporal.heartbeats import Heartbeats
from tests.engine import core, service
from tests.engine.engine import Engine
from tests.saga.world import temporal_server

QUEUE = "contract"
_SHORT = timedelta(milliseconds=20)
_LONG = timedelta(seconds=30)
CALLS: dict[str, int] = {}
"""Attempts by key."""
ARRIVED: dict[str, asyncio.Event] = {}


def _attempt(key: str) -> int:
    CALLS[key] = CALLS.get(key, 0) + 1
    ARRIVED.setdefault(key, asyncio.Event()).set()
    return CALLS[key]


@activity.defn
async def succeeds_at(key: str, attempt: int) -> int:
    found = _attempt(key)
    if found < attempt:
        raise RuntimeError(f"attempt {found}")
    return found


@activity.defn
def breaks(key: str) -> None:
    _attempt(key)
    raise ApplicationError("broken", "why", type="Broken", non_retryable=True)


@activity.defn
async def hangs(key: str, then: str) -> str:
    _attempt(key)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        if then == "ends":
            return "ended all the same"
        if then == "fails":
            raise ApplicationError("failed while it was told to stop", type="Late") from None
        raise
    return "slept"


@workflow.defn
class Runs:
    """One activity, as it is told; says how it ended."""

    @workflow.run
    async def run(self, kind: str, key: str) -> str:
        try:
            return str(await self.activity(kind, key))
        except BaseException as error:
            return _chain(error)

    async def activity(self, kind: str, key: str) -> Any:
        quick = RetryPolicy(initial_interval=_SHORT, maximum_attempts=3)
        match kind:
            case "third try" | "too many tries":
                wanted = 3 if kind == "third try" else 9
                return await workflow.execute_activity(
                    succeeds_at, args=[key, wanted], start_to_close_timeout=_LONG, retry_policy=quick
                )
            case "local third try" | "local too many tries":
                wanted = 3 if kind == "local third try" else 9
                return await workflow.execute_local_activity(
                    succeeds_at, args=[key, wanted], start_to_close_timeout=_LONG, retry_policy=quick
                )
            case "breaks":
                return await workflow.execute_activity(breaks, key, start_to_close_timeout=_LONG)
            case "local breaks":
                return await workflow.execute_local_activity(breaks, key, start_to_close_timeout=_LONG)
            case "nobody there":
                return await workflow.execute_activity(
                    breaks,
                    key,
                    task_queue="nobody",
                    start_to_close_timeout=_LONG,
                    schedule_to_start_timeout=timedelta(milliseconds=200),
                )
            case "too slow":
                return await workflow.execute_activity(
                    hangs,
                    args=[key, ""],
                    start_to_close_timeout=timedelta(milliseconds=300),
                    heartbeat_timeout=_LONG,
                    retry_policy=RetryPolicy(initial_interval=_SHORT, maximum_attempts=2),
                )
            case "no time left":
                return await workflow.execute_activity(
                    succeeds_at,
                    args=[key, 9],
                    start_to_close_timeout=_LONG,
                    schedule_to_close_timeout=timedelta(milliseconds=600),
                    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=200), backoff_coefficient=4),
                )
        raise AssertionError(kind)


@workflow.defn
class Stops:
    """An activity that is told to stop, by ``stop``; says how it ended."""

    def __init__(self) -> None:
        self.told = False

    @workflow.signal
    def stop(self) -> None:
        self.told = True

    @workflow.run
    async def run(self, then: str, key: str) -> str:
        handle = workflow.start_activity(
            hangs if then != "between tries" else succeeds_at,
            args=[key, then if then != "between tries" else 9],
            start_to_close_timeout=_LONG,
            heartbeat_timeout=timedelta(seconds=1),
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=30)),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        await workflow.wait_condition(lambda: self.told)
        handle.cancel()
        try:
            return str(await handle)
        except BaseException as error:
            return _chain(error)


@workflow.defn
class Admits:
    """What an update waits for, and what comes after it."""

    def __init__(self) -> None:
        self.answer = 0
        self.pokes = 0
        self.done = False

    @workflow.run
    async def run(self, then: str, key: str) -> str:
        if then == "refuses":
            self.answer = -1
        else:
            self.answer = await workflow.execute_local_activity(
                succeeds_at, args=[key, 1], start_to_close_timeout=_LONG
            )
        match then:
            case "waits":
                await workflow.wait_condition(lambda: self.done)
            case "sleeps":
                await workflow.sleep(0.05)
            case "hands over":
                await workflow.wait_condition(lambda: self.done)
                workflow.continue_as_new(args=["", key], workflow="Admits")
            case "looks again":
                # A poke that comes with the last task is seen.
                while True:
                    seen = self.pokes
                    await workflow.execute_local_activity(pokes, key, start_to_close_timeout=_LONG)
                    if seen == self.pokes:
                        return f"{self.pokes} pokes"
            case "has children":
                child = await workflow.start_child_workflow(
                    Admits.run,
                    args=["sleeps", f"{key}/child"],
                    id=f"{key}/child",
                    parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                )
                try:
                    await workflow.start_child_workflow(Admits.run, args=["", key], id=f"{key}/child")
                except WorkflowAlreadyStartedError:
                    return f"one child, {child.id == f'{key}/child'}"
        await workflow.wait_condition(workflow.all_handlers_finished)
        return "done"

    @workflow.update
    async def admission(self) -> int:
        await workflow.wait_condition(lambda: self.answer != 0)
        if self.answer < 0:
            raise ApplicationError("refused", {"code": 409}, type="Refused", non_retryable=True)
        return self.answer

    @workflow.update(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def never(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def poke(self) -> None:
        self.pokes += 1

    @workflow.signal
    def end(self) -> None:
        self.done = True


@activity.defn
async def pokes(key: str) -> None:
    """The first call pokes the run that waits for it."""
    if _attempt(f"{key}/pokes") == 1:
        await _CLIENTS[-1].get_workflow_handle(key).signal("poke")


_CLIENTS: list[Client] = []


def _chain(error: BaseException | None) -> str:
    """A failure and its causes, as far as workflows go by them."""
    found = []
    while error is not None:
        parts = [type(error).__name__]
        for name in ("type", "retry_state"):
            value = getattr(error, name, None)
            parts += [] if value is None else [getattr(value, "name", str(value))]
        if isinstance(error, ApplicationError):
            parts += [error.message, *map(str, error.details)]
        found.append(" ".join(parts))
        error = error.__cause__
    return " < ".join(found)


@pytest.fixture(scope="module", params=["engine", "server"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "server":
            address = await stack.enter_async_context(temporal_server("engine"))
            made = await Client.connect(address, namespace="engine", data_converter=data_converter)
        else:
            stack.enter_context(core.in_place())
            made = service.connect(Engine("engine"), data_converter, [])
        _CLIENTS.append(made)
        worker = Worker(
            made,
            task_queue=QUEUE,
            workflows=[Runs, Stops, Admits],
            activities=[succeeds_at, breaks, hangs, pokes],
            activity_executor=ThreadPoolExecutor(4),
            interceptors=[Heartbeats()],
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        async with worker:
            yield made


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


def _start(workflow_id: str, then: str, **policies: Any) -> WithStartWorkflowOperation[Any, Any]:
    policies.setdefault("id_conflict_policy", WorkflowIDConflictPolicy.FAIL)
    return WithStartWorkflowOperation(
        Admits.run, args=[then, workflow_id], id=workflow_id, task_queue=QUEUE, **policies
    )


async def _admit(
    client: Client, key: str, then: str, update: Any = Admits.admission, id: str = "u", **more: Any
) -> Any:
    operation = _start(key, then, **more)
    try:
        return await client.execute_update_with_start_workflow(update, start_workflow_operation=operation, id=id)
    finally:
        with contextlib.suppress(Exception):
            await operation.workflow_handle()


@pytest.mark.parametrize(
    ("kind", "ends", "attempts"),
    [
        ("third try", "3", 3),
        (
            "too many tries",
            "ActivityError MAXIMUM_ATTEMPTS_REACHED < ApplicationError RuntimeError attempt 3",
            3,
        ),
        ("local third try", "3", 3),
        ("local too many tries", "ApplicationError RuntimeError attempt 3", 3),
        ("breaks", "ActivityError NON_RETRYABLE_FAILURE < ApplicationError Broken broken why", 1),
        ("local breaks", "ApplicationError Broken broken why", 1),
        ("nobody there", "ActivityError TIMEOUT < TimeoutError SCHEDULE_TO_START", 0),
        (
            "too slow",
            "ActivityError MAXIMUM_ATTEMPTS_REACHED < TimeoutError START_TO_CLOSE < TimeoutError START_TO_CLOSE",
            2,
        ),
        ("no time left", "ActivityError TIMEOUT < ApplicationError RuntimeError attempt 2", 2),
    ],
)
async def test_an_activity_ends(client: Client, key: str, kind: str, ends: str, attempts: int) -> None:
    assert await client.execute_workflow(Runs.run, args=[kind, key], id=key, task_queue=QUEUE) == ends
    assert CALLS.get(key, 0) == attempts


@pytest.mark.parametrize(
    ("then", "ends"),
    [
        ("stops", "ActivityError CANCEL_REQUESTED < CancelledError"),
        ("ends", "ended all the same"),
        ("fails", "ActivityError CANCEL_REQUESTED < ApplicationError Late failed while it was told to stop"),
        ("between tries", "ActivityError CANCEL_REQUESTED < CancelledError"),
    ],
)
async def test_an_activity_that_is_told_to_stop_is_waited_for(client: Client, key: str, then: str, ends: str) -> None:
    ARRIVED[key] = asyncio.Event()
    handle = await client.start_workflow(Stops.run, args=[then, key], id=key, task_queue=QUEUE)
    await ARRIVED[key].wait()
    await handle.signal(Stops.stop)
    assert await handle.result() == ends
    assert CALLS[key] == 1


async def test_an_update_starts_a_run_and_its_id_finds_the_answer_again(client: Client, key: str) -> None:
    assert await _admit(client, key, "sleeps") == 1
    await client.get_workflow_handle(key).result()
    assert await _admit(client, key, "sleeps") == 1
    assert CALLS[key] == 1
    assert await _admit(client, key, "sleeps", id="another") == 2


async def test_a_refusal_is_the_updates_own(client: Client, key: str) -> None:
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await _admit(client, key, "refuses")
    assert _chain(refused.value.cause) == "ApplicationError Refused refused {'code': 409}"
    assert await client.get_workflow_handle(key).result() == "done"


async def test_the_policies_of_ids(client: Client, key: str) -> None:
    never = {"id_reuse_policy": WorkflowIDReusePolicy.REJECT_DUPLICATE}
    assert await _admit(client, key, "waits") == 1
    with pytest.raises(WorkflowAlreadyStartedError):
        await _admit(client, key, "waits", id="another")
    joins = {"id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING}
    assert await _admit(client, key, "waits", id="a third", **joins) == 1
    with pytest.raises(WorkflowAlreadyStartedError):
        await client.start_workflow(Admits.run, args=["", key], id=key, task_queue=QUEUE)
    await client.get_workflow_handle(key).signal(Admits.end)
    assert await client.get_workflow_handle(key).result() == "done"
    with pytest.raises(WorkflowAlreadyStartedError):
        await _admit(client, key, "waits", id="another", **never)
    assert CALLS[key] == 1


async def test_a_run_that_closes_leaves_no_update_without_an_answer(client: Client, key: str) -> None:
    assert await _admit(client, key, "hands over") == 1
    handle = client.get_workflow_handle(key)
    waiting = await handle.start_update(Admits.never, id="never", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    await handle.signal(Admits.end)
    with pytest.raises(WorkflowUpdateFailedError) as failed:
        await waiting.result()
    assert getattr(failed.value.cause, "type", None) == "AcceptedUpdateCompletedWorkflow"
    # The run went on as another, with the same id.
    assert await handle.result() == "done"
    assert CALLS[key] == 2
    with pytest.raises(RPCError):
        await handle.execute_update(Admits.admission, id="late")


async def test_a_run_does_not_end_without_having_heard_what_came_meanwhile(client: Client, key: str) -> None:
    handle = await client.start_workflow(Admits.run, args=["looks again", key], id=key, task_queue=QUEUE)
    assert await handle.result() == "1 pokes"


async def test_a_child_outlives_its_parent_and_is_alone(client: Client, key: str) -> None:
    handle = await client.start_workflow(Admits.run, args=["has children", key], id=key, task_queue=QUEUE)
    assert await handle.result() == "one child, True"
    assert await client.get_workflow_handle(f"{key}/child").result() == "done"


@pytest.mark.parametrize("how", ["cancel", "terminate"])
async def test_ends_from_outside(client: Client, key: str, how: str) -> None:
    assert await _admit(client, key, "waits") == 1
    handle = client.get_workflow_handle(key)
    await (handle.cancel() if how == "cancel" else handle.terminate("enough"))
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    wanted = {
        "cancel": ("CancelledError", WorkflowExecutionStatus.CANCELED),
        "terminate": ("TerminatedError", WorkflowExecutionStatus.TERMINATED),
    }
    assert (type(failed.value.cause).__name__, (await handle.describe()).status) == wanted[how]
    with pytest.raises(RPCError):
        await handle.signal(Admits.end)


async def test_a_run_that_is_lost_is_made_again(key: str) -> None:
    """At a local activity: its task had not ended, so that it runs again; and later, when it is not. No server can be
    asked for this of a single run."""
    engine = Engine("engine")
    with core.in_place():
        made = service.connect(engine, data_converter, [])

        @activity.defn(name="succeeds_at")
        async def lost(key: str, attempt: int) -> int:
            found = _attempt(key)
            if found == 1:
                engine.lose(key)
            return found

        worker = Worker(
            made,
            task_queue=QUEUE,
            workflows=[Admits],
            activities=[lost, pokes],
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        async with worker:
            assert await _admit(made, key, "waits") == 2
            engine.lose(key)
            await made.get_workflow_handle(key).signal(Admits.end)
            assert await made.get_workflow_handle(key).result() == "done"
            assert CALLS[key] == 2
            await engine.repeat(key)
            assert (engine.errors, engine.failed_tasks) == ([], [])


_ORDER = iter(range(2))


@workflow.defn
class Wavers:
    """Not what a workflow may be: it wants something else each time."""

    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(0.01 + next(_ORDER))


async def test_a_run_that_becomes_another_is_told(key: str) -> None:
    engine = Engine("engine")
    with core.in_place():
        made = service.connect(engine, data_converter, [])
        worker = Worker(made, task_queue=QUEUE, workflows=[Wavers], workflow_runner=UnsandboxedWorkflowRunner())
        async with worker:
            await made.execute_workflow(Wavers.run, id=key, task_queue=QUEUE)
            with pytest.raises(AssertionError, match="wanted"):
                await engine.repeat(key)
