"""The policies of production with shorter pauses and time-outs: no proof waits for a pause."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from unittest import mock

from temporalio.common import RetryPolicy

from workflows import policies
from workflows.policies import Policy

QUICK = timedelta(milliseconds=20)
_HANGING = timedelta(seconds=20)
"""What hangs and is told by nobody is given up by then."""


@contextmanager
def quick_policies() -> Iterator[None]:
    """While this lasts."""
    changed: dict[str, object] = {
        name: quicker(value) for name, value in vars(policies).items() if isinstance(value, Policy)
    }
    changed |= dict.fromkeys(("BUSY_PAUSE", "BUSY_PAUSE_LONGEST", "STUCK_PAUSE"), QUICK)
    # Many runs at once on a busy machine: what is proved is not how long an admission takes.
    changed |= {"ADMIT_SECONDS": 60.0, "UPDATE_TIMEOUT": timedelta(seconds=60)}
    with mock.patch.multiple(policies, **changed):
        yield


def quicker(policy: Policy) -> Policy:
    retry = RetryPolicy(
        initial_interval=QUICK,
        backoff_coefficient=1.5,
        maximum_interval=10 * QUICK,
        maximum_attempts=policy.retry.maximum_attempts,
    )
    # Long enough for the loop of a machine that does more than it can.
    heartbeat = timedelta(seconds=2) if policy.heartbeat else None
    return replace(policy, retry=retry, heartbeat=heartbeat, start_to_close=min(policy.start_to_close, _HANGING))
