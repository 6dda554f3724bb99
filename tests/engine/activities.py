"""One activity of a run through all its attempts: retries, time limits, cancels."""

import asyncio
import itertools
from typing import TYPE_CHECKING

from temporalio.api.enums.v1 import RetryState, TimeoutType
from temporalio.api.failure.v1 import Failure
from temporalio.bridge.proto.activity_result import ActivityExecutionResult, ActivityResolution
from temporalio.bridge.proto.activity_task import ActivityCancelReason, ActivityTask
from temporalio.bridge.proto.workflow_commands import ActivityCancellationType

from tests.engine import failures
from tests.engine.messages import Job, Spec, later, seconds

if TYPE_CHECKING:
    from tests.engine.core import Core
    from tests.engine.run import Run

_tokens = itertools.count(1)
_AT_ONCE = (ActivityCancellationType.TRY_CANCEL, ActivityCancellationType.ABANDON)


class Activity:
    """``local``: it runs where its workflow does, and its result is known with its workflow's task.

    Args:
        run: whose it is; ``resolved`` is told of its end, once.
    """

    def __init__(self, run: "Run", spec: Spec, *, local: bool) -> None:
        self.run = run
        self.spec = spec
        self.local = local
        self.token = b""
        self.core: Core | None = None
        """Where an attempt runs."""
        self.cancel_requested = False
        self._attempt = 0
        self.over = False
        self._last: Failure | None = None
        loop = asyncio.get_running_loop()
        to_close = seconds(spec.schedule_to_close_timeout)
        self._deadline = None if to_close is None else loop.time() + to_close
        close = TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE
        self._limits = later(to_close, lambda: self._time_is_over(close))
        self._waits: list[asyncio.TimerHandle] = []

    # -- attempts

    def attempt(self) -> None:
        """Queue the next attempt."""
        if self.over:
            return
        self._attempt += 1
        self.token = str(next(_tokens)).encode()
        limit = seconds(self.spec.schedule_to_start_timeout)
        kind = TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START
        self._waits = later(limit, lambda: self._time_is_over(kind))
        self.run.engine.enqueue(self)

    @property
    def ends_at_once(self) -> bool:
        """For its workflow, when it is cancelled."""
        return self.spec.cancellation_type in _AT_ONCE

    @property
    def queue(self) -> str:
        return self.run.queue if self.local else self.spec.task_queue or self.run.queue  # type: ignore[union-attr]

    def start(self, core: "Core") -> ActivityTask:
        """The attempt is taken by a worker."""
        self._wait_no_more()
        self.core = core
        kind = TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
        self._waits = later(seconds(self.spec.start_to_close_timeout), lambda: self._time_is_over(kind))
        task = ActivityTask(task_token=self.token)
        start, spec = task.start, self.spec
        start.workflow_namespace = self.run.engine.namespace
        start.workflow_type = self.run.kind
        start.workflow_execution.workflow_id = self.run.workflow_id
        start.workflow_execution.run_id = self.run.run_id
        start.activity_id, start.activity_type = spec.activity_id, spec.activity_type
        start.attempt, start.is_local = self._attempt, self.local
        start.input.extend(spec.arguments)
        start.retry_policy.CopyFrom(spec.retry_policy)
        start.schedule_to_close_timeout.CopyFrom(spec.schedule_to_close_timeout)
        start.start_to_close_timeout.CopyFrom(spec.start_to_close_timeout)
        for time in (start.scheduled_time, start.current_attempt_scheduled_time, start.started_time):
            time.GetCurrentTime()
        for key, value in spec.headers.items():
            start.header_fields[key].CopyFrom(value)
        if not self.local:
            start.heartbeat_timeout.CopyFrom(spec.heartbeat_timeout)  # type: ignore[union-attr]
            start.priority.CopyFrom(spec.priority)  # type: ignore[union-attr]
        return task

    def ended(self, result: ActivityExecutionResult) -> None:
        """A worker has told how its attempt ended."""
        if self.over:
            return
        self._wait_no_more()
        self.core = None
        match result.WhichOneof("status"):
            case "completed":
                resolution = ActivityResolution()
                resolution.completed.CopyFrom(result.completed)
                self._resolve(resolution)
            case "failed":
                self._failed(result.failed.failure)
            case "cancelled" if self.cancel_requested:
                self._cancelled()
            case "cancelled":
                self._failed(failures.application("The worker was told to stop.", "WorkerShutdown"))

    def _failed(self, failure: Failure) -> None:
        self._last = failure
        policy = self.spec.retry_policy
        pause = (seconds(policy.initial_interval) or 1.0) * (policy.backoff_coefficient or 2.0) ** (self._attempt - 1)
        pause = min(pause, seconds(policy.maximum_interval) or 100 * (seconds(policy.initial_interval) or 1.0))
        if failure.application_failure_info.HasField("next_retry_delay"):
            pause = seconds(failure.application_failure_info.next_retry_delay) or 0.0
        loop = asyncio.get_running_loop()
        if self.cancel_requested:
            self._give_up(failure, RetryState.RETRY_STATE_CANCEL_REQUESTED)
        elif failures.is_final(failure, list(policy.non_retryable_error_types)):
            self._give_up(failure, RetryState.RETRY_STATE_NON_RETRYABLE_FAILURE)
        elif policy.maximum_attempts and self._attempt >= policy.maximum_attempts:
            self._give_up(failure, RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED)
        elif self._deadline is not None and loop.time() + pause > self._deadline:
            self._give_up(failure, RetryState.RETRY_STATE_TIMEOUT)
        else:
            self._waits = later(pause, self.attempt)

    def _give_up(self, failure: Failure, state: RetryState.ValueType) -> None:
        resolution = ActivityResolution()
        timed_out = failure.HasField("timeout_failure_info")
        if self.local and not timed_out:
            # The core hands it over as it is.
            resolution.failed.failure.CopyFrom(failure)
        else:
            message = "Activity task timed out" if timed_out else "Activity task failed"
            resolution.failed.failure.CopyFrom(failures.of_activity(message, self.spec, failure, state))
        self._resolve(resolution)

    def _time_is_over(self, kind: TimeoutType.ValueType) -> None:
        self.run.engine.withdraw(self)
        self._tell(ActivityCancelReason.TIMED_OUT)
        self.core = None
        if kind == TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE:
            self._give_up(failures.timeout(kind, self._last), RetryState.RETRY_STATE_TIMEOUT)
        elif kind == TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START:
            self._give_up(failures.timeout(kind), RetryState.RETRY_STATE_TIMEOUT)
        else:
            self._wait_no_more()
            self._failed(failures.timeout(kind, self._last))

    # -- cancels

    def cancel(self) -> list[Job]:
        """The workflow wants no more of it; what it gets to know at once, if anything."""
        self.cancel_requested = True
        if self.ends_at_once:
            if self.spec.cancellation_type == ActivityCancellationType.TRY_CANCEL:
                self._tell(ActivityCancelReason.CANCELLED)
            self.drop()
            return [self.told(self.cancellation())]
        if self.core is None:
            # Nobody runs it: between attempts, or not yet begun.
            self._cancelled()
        else:
            self._tell(ActivityCancelReason.CANCELLED)
        return []

    def cancellation(self) -> ActivityResolution:
        resolution = ActivityResolution()
        message = "Local Activity cancelled" if self.local else "Activity cancelled"
        state = RetryState.RETRY_STATE_CANCEL_REQUESTED
        failure = failures.of_activity(message, self.spec, failures.cancelled(), state)
        resolution.cancelled.failure.CopyFrom(failure)
        return resolution

    def _cancelled(self) -> None:
        self._resolve(self.cancellation())

    def orphan(self) -> None:
        """Its run is closed: whoever runs it hears that nobody knows it any more."""
        self._tell(ActivityCancelReason.NOT_FOUND)
        self.drop()

    def stop(self) -> None:
        """Its worker shuts down."""
        self._tell(ActivityCancelReason.WORKER_SHUTDOWN)

    def _tell(self, reason: ActivityCancelReason.ValueType) -> None:
        """With its next heartbeat, on a server: what never beats never hears of it, but from its own worker."""
        beats = not self.local and seconds(self.spec.heartbeat_timeout)  # type: ignore[union-attr]
        if self.core is None or not (self.local or beats or reason == ActivityCancelReason.WORKER_SHUTDOWN):
            return
        task = ActivityTask(task_token=self.token)
        task.cancel.reason = reason
        details = task.cancel.details
        details.is_cancelled = reason == ActivityCancelReason.CANCELLED
        details.is_not_found = reason == ActivityCancelReason.NOT_FOUND
        details.is_timed_out = reason == ActivityCancelReason.TIMED_OUT
        details.is_worker_shutdown = reason == ActivityCancelReason.WORKER_SHUTDOWN
        self.core.tell(task)

    # -- the end

    def _resolve(self, resolution: ActivityResolution) -> None:
        self.drop()
        self.run.resolved(self, self.told(resolution))

    def told(self, resolution: ActivityResolution) -> Job:
        """How its workflow hears of its end."""
        job = Job()
        job.resolve_activity.seq = self.spec.seq
        job.resolve_activity.is_local = self.local
        job.resolve_activity.result.CopyFrom(resolution)
        return job

    def drop(self) -> None:
        """Nobody waits for it any more."""
        self.over = True
        self.run.engine.withdraw(self)
        self._wait_no_more()
        for limit in self._limits:
            limit.cancel()

    def _wait_no_more(self) -> None:
        for wait in self._waits:
            wait.cancel()
        self._waits = []

    def __repr__(self) -> str:
        return f"{self.spec.activity_type} of {self.run.workflow_id}"
