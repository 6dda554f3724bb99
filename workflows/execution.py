"""How one activity is run under a policy."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.base import info
    from activities.scheduling import HostRef, SchedulingActivities, Seen
    from infra.temporal.queues import host_queue
    from workflows import failures, policies
    from workflows.policies import Policy


async def execute(
    do: Callable[..., Any],
    params: Any,
    policy: Policy,
    *,
    host: str | None = None,
    title: str = "",
    priority: Priority = Priority.default,
) -> Any:
    """One activity under a policy.

    Work that nobody takes on a host's queue is not waited for any longer than the host is known to be there.

    Raises:
        ActivityError: it failed, or its time was over.
    """
    summary = f"{title} on {host}" if host else title
    if policy.local:
        return await _execute_local(do, params, policy, summary[:200] or None)
    if host is None or policy.lane is None:
        assert policy.lane is None, f"{policy.name} runs on a host"
        return await _execute(do, params, policy, policy.queue, policy.schedule_to_start, summary, priority)
    queue, left = host_queue(host, policy.lane), policy.schedule_to_start or timedelta()
    while True:
        patience = min(left, policies.HOST_PATIENCE)
        try:
            return await _execute(do, params, policy, queue, patience or None, summary, priority)
        except ActivityError as error:
            left -= patience
            if not failures.is_untaken(error) or not left or not workflow.patched("host-patience"):
                raise
            seen: Seen = await _execute_local(
                SchedulingActivities.see_host, HostRef(host=host), policies.RECORD, summary[:200]
            )
            if not seen.is_up:
                raise


async def _execute(
    do: Callable[..., Any],
    params: Any,
    policy: Policy,
    queue: str | None,
    schedule_to_start: timedelta | None,
    summary: str,
    priority: Priority,
) -> Any:
    return await workflow.execute_activity(
        do,
        params,
        task_queue=queue,
        start_to_close_timeout=policy.start_to_close,
        schedule_to_start_timeout=schedule_to_start,
        schedule_to_close_timeout=policy.schedule_to_close,
        heartbeat_timeout=policy.heartbeat,
        retry_policy=policy.retry,
        summary=summary[:200] or None,
        priority=priority,
        # What was told to stop is waited for: an undo must not run beside its do.
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )


async def _execute_local(do: Callable[..., Any], params: Any, policy: Policy, summary: str | None) -> Any:
    """The engine hands over a local activity's failure bare: here it gets the name of its step, as any other has it."""
    try:
        return await workflow.execute_local_activity(
            do,
            params,
            start_to_close_timeout=policy.start_to_close,
            schedule_to_close_timeout=policy.schedule_to_close,
            retry_policy=policy.retry,
            summary=summary,
        )
    except FailureError as error:
        if isinstance(error, ActivityError) or failures.is_cancel(error):
            raise
        raise ActivityError(
            "Activity task failed",
            scheduled_event_id=0,
            started_event_id=0,
            identity="",
            activity_type=info(do).name,
            activity_id="",
            retry_state=None,
        ) from error
