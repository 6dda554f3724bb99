"""Faults in activities: what happens where a step runs, chosen by run and step, without a word in the code itself.

A rule stands for one step of one run (workflow id and type). The interceptor sits around every activity of every
worker of a world, local ones too.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.client import (
    OutboundInterceptor,
    StartWorkflowInput,
    StartWorkflowUpdateWithStartInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.base import translate
from infra.domain.errors import HostRejected

Call = Callable[[], Awaitable[Any]]
Act = Callable[[int, Call], Awaitable[Any]]
"""What a rule does with the n-th call (from 1) of its step."""


@dataclass
class Rule:
    act: Act
    calls: int = 0


@dataclass
class Faults(Interceptor, ClientInterceptor):
    """All rules of a world, and every step that ran: (workflow id, workflow type, step)."""

    rules: dict[tuple[str, str, str], Rule] = field(default_factory=dict)
    ran: list[tuple[str, str, str]] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)
    """Calls under way by workflow id."""
    begun: set[str] = field(default_factory=set)
    """Ids of all workflows that were started, or that ran a step: there is no need to ask about others."""

    def add(self, workflow_id: str, workflow: str, step: str, act: Act) -> Rule:
        rule = self.rules[workflow_id, workflow, step] = Rule(act)
        return rule

    def forget(self, workflow_id: str) -> None:
        """No faults in this run any more."""
        for key in [key for key in self.rules if key[0] == workflow_id]:
            del self.rules[key]

    def steps(self, workflow_id: str, workflow: str) -> list[str]:
        """The steps of a run in the order in which they were first called."""
        return list(dict.fromkeys(step for id, kind, step in self.ran if (id, kind) == (workflow_id, workflow)))

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Noting(self, next)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Faulty(self, next)


class _Noting(OutboundInterceptor):
    def __init__(self, faults: Faults, next: OutboundInterceptor) -> None:
        super().__init__(next)
        self._faults = faults

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        self._faults.begun.add(input.id)
        return await super().start_workflow(input)

    async def start_update_with_start_workflow(
        self, input: StartWorkflowUpdateWithStartInput
    ) -> WorkflowUpdateHandle[Any]:
        self._faults.begun.add(input.start_workflow_input.id)
        return await super().start_update_with_start_workflow(input)


class _Faulty(ActivityInboundInterceptor):
    def __init__(self, faults: Faults, next: ActivityInboundInterceptor) -> None:
        super().__init__(next)
        self._faults = faults

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        workflow_id = str(info.workflow_id)
        key = (workflow_id, str(info.workflow_type), info.activity_type)
        self._faults.ran.append(key)
        self._faults.begun.add(workflow_id)
        rule = self._faults.rules.get(key)
        running = self._faults.running
        running[workflow_id] = running.get(workflow_id, 0) + 1
        context = activity._Context.current()
        beat = context.heartbeat

        async def call() -> Any:
            # Around the heartbeat of what runs in a thread the SDK puts a wait for the loop: around one that waits
            # already, a second call's would hold up the loop itself.
            context.heartbeat = beat
            return await self.next.execute_activity(input)

        try:
            if rule is None:
                return await call()
            rule.calls += 1
            return await rule.act(rule.calls, call)
        finally:
            running[workflow_id] -= 1


class Passing(Exception):
    """Not one of ours: the engine tries again."""


def fails_before(times: int = 1) -> Act:
    """The first calls fail before they had an effect."""

    async def act(n: int, call: Call) -> Any:
        if n <= times:
            raise Passing("injected before the effect")
        return await call()

    return act


def fails_after(times: int = 1) -> Act:
    """The effect is there, the reply is lost: the engine does not know."""

    async def act(n: int, call: Call) -> Any:
        result = await call()
        if n <= times:
            raise Passing("injected after the effect")
        return result

    return act


def killed(lose: Callable[[], None]) -> Act:
    """The effect is there, and all workers that could tell of it are gone; others make the run again."""

    async def act(n: int, call: Call) -> Any:
        result = await call()
        if n == 1:
            lose()
            raise Passing("injected: the worker died")
        return result

    return act


def forgotten(lose: Callable[[], None]) -> Act:
    """The worker that runs the workflow dies while the step goes on."""

    async def act(n: int, call: Call) -> Any:
        if n == 1:
            lose()
        return await call()

    return act


def breaks_before(times: int | None = None) -> Act:
    """Fails for good (the first ``times`` calls; None: all); nothing was done."""

    async def act(n: int, call: Call) -> Any:
        if times is not None and n > times:
            return await call()
        raise _broken()

    return act


def breaks_after(times: int | None = None) -> Act:
    """Fails for good, and the effect is there all the same."""

    async def act(n: int, call: Call) -> Any:
        result = await call()
        if times is not None and n > times:
            return result
        raise _broken()

    return act


def _broken() -> ApplicationError:
    return ApplicationError("injected: broken", type="Broken", non_retryable=True)


def refuses() -> Act:
    """The first host says no."""

    async def act(n: int, call: Call) -> Any:
        if n == 1:
            raise translate(HostRejected("injected: no room"))
        return await call()

    return act


def refuses_after() -> Act:
    """The first host says no after half of the work."""

    async def act(n: int, call: Call) -> Any:
        result = await call()
        if n == 1:
            raise translate(HostRejected("injected: no room"))
        return result

    return act


def twice() -> Act:
    async def act(n: int, call: Call) -> Any:
        await call()
        return await call()

    return act


def twice_at_once() -> Act:
    async def act(n: int, call: Call) -> Any:
        results = await asyncio.gather(call(), call(), return_exceptions=True)
        good = [result for result in results if not isinstance(result, BaseException)]
        if not good:
            assert isinstance(results[0], BaseException)
            raise results[0]
        return good[-1]

    return act


def meanwhile(event: Callable[[], Awaitable[Any]], tasks: list[asyncio.Task[Any]]) -> Act:
    """At the first call ``event`` begins beside the step, which goes on as ever."""

    async def act(n: int, call: Call) -> Any:
        if n == 1:
            tasks.append(asyncio.ensure_future(event()))
            # A local activity holds its workflow task: what began can't be waited for in here.
            for _ in range(5):
                await asyncio.sleep(0)
        return await call()

    return act


@dataclass
class Barrier:
    """The first call waits here, before its effect or when it is there; later ones go on."""

    after: bool = False
    open: asyncio.Event = field(default_factory=asyncio.Event)
    reached: bool = False

    async def act(self, n: int, call: Call) -> Any:
        if n > 1:
            return await call()
        result = await call() if self.after else None
        self.reached = True
        while not self.open.is_set():
            if activity.is_worker_shutdown():
                raise Passing("injected: the worker dies")
            await asyncio.sleep(0.02)
        return result if self.after else await call()


def held(until: asyncio.Event) -> Act:
    """Waits before its effect; other steps go on."""

    async def act(n: int, call: Call) -> Any:
        await until.wait()
        return await call()

    return act


def fails_meanwhile(event: Callable[[], Awaitable[Any]]) -> Act:
    """The first call fails after ``event``, so that whoever does not shield its next try is stopped. Not for local
    activities, which hold the task that ``event`` needs."""

    async def act(n: int, call: Call) -> Any:
        if n == 1:
            await event()
            raise Passing("injected while it is stopped")
        return await call()

    return act


def until_told(event: Callable[[], Awaitable[Any]], tasks: list[asyncio.Task[Any]]) -> Act:
    """At the first call ``event`` begins, and the step hangs until it is told to stop; what has no heartbeats is never
    told, and goes on."""

    async def act(n: int, call: Call) -> Any:
        if n == 1 and activity.info().heartbeat_timeout is None:
            return await meanwhile(event, tasks)(n, call)
        if n == 1:
            tasks.append(asyncio.ensure_future(event()))
            # Not ``wait_for_cancelled``, which activities in threads do not have.
            while not activity.is_cancelled():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            raise CancelledError("injected: told to stop")
        return await call()

    return act


def late(kept: list[Call], times: int | None = None) -> Act:
    """Fails for good at once; its effect arrives when the run has ended (``kept`` is called then)."""

    async def act(n: int, call: Call) -> Any:
        if times is not None and n > times:
            return await call()
        context = contextvars.copy_context()

        async def arrive() -> Any:
            return await asyncio.create_task(_awaited(call), context=context)

        kept.append(arrive)
        raise _broken()

    return act


async def _awaited(call: Call) -> Any:
    return await call()
