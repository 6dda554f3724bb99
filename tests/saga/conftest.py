"""One Temporal server for all proofs, in memory; worlds have a namespace of their own in it."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.common import RetryPolicy

from tests.saga import drifting
from tests.saga.world import World, temporal_server, world
from workflows import policies
from workflows.policies import Policy

QUICK = timedelta(milliseconds=20)


@pytest.fixture(scope="session")
def quick_policies() -> Iterator[None]:
    """The same policies with shorter pauses and time-outs: no proof waits for a pause."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in vars(policies).items():
            if isinstance(value, Policy):
                patch.setattr(policies, name, quicker(value))
        for name in ("BUSY_PAUSE", "BUSY_PAUSE_LONGEST", "STUCK_PAUSE"):
            patch.setattr(policies, name, QUICK)
        # Many runs at once on a busy machine: what is proved is not how long an admission takes.
        patch.setattr(policies, "ADMIT_SECONDS", 60.0)
        patch.setattr(policies, "UPDATE_TIMEOUT", timedelta(seconds=60))
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
    return replace(policy, retry=retry, heartbeat=heartbeat)


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[str]:
    """The address of a server that forgets all when it ends."""
    async with temporal_server("proofs", "hosts", "apart", "fair", "keys", "upgrade", "kills", "real") as address:
        yield address


@pytest.fixture(scope="session")
async def cloud(temporal: str, quick_policies: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Three hosts that work, shared by all runs that need no others."""
    async with world(tmp_path_factory.mktemp("cloud"), temporal, "proofs", ("h1", "h2", "h3")) as made:
        yield made


@pytest.fixture(scope="session")
async def apart(temporal: str, quick_policies: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One host, for runs that see all there is on it."""
    async with world(tmp_path_factory.mktemp("apart"), temporal, "apart", (drifting.HOST,)) as made:
        yield made
