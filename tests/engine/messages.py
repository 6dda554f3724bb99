"""Names for the messages between the core and its worker."""

import asyncio
from collections.abc import Callable

from google.protobuf.duration_pb2 import Duration
from temporalio.bridge.proto.workflow_activation import WorkflowActivationJob
from temporalio.bridge.proto.workflow_commands import ScheduleActivity, ScheduleLocalActivity, WorkflowCommand

Job = WorkflowActivationJob
"""One thing that a run is told."""
Command = WorkflowCommand
"""One thing that a run wants."""
Spec = ScheduleActivity | ScheduleLocalActivity
"""What an activity is to do, and under which limits."""


def seconds(duration: Duration) -> float | None:
    """None where there is no limit."""
    return duration.ToTimedelta().total_seconds() or None


def later(delay: float | None, what: Callable[[], None]) -> list[asyncio.TimerHandle]:
    """Calls ``what`` after a while; never for None."""
    return [] if delay is None else [asyncio.get_running_loop().call_later(delay, what)]
