"""One Temporal server for all proofs that need one, in memory; worlds have a namespace of their own in it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.saga import drifting, quick
from tests.saga.world import World, temporal_server, world


@pytest.fixture(scope="session")
def quick_policies() -> Iterator[None]:
    with quick.quick_policies():
        yield


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[str]:
    """The address of a server that forgets all when it ends."""
    async with temporal_server("proofs", "hosts", "apart", "fair", "keys", "upgrade", "kills", "real") as address:
        yield address


@pytest.fixture(scope="session")
async def cloud(temporal: str, quick_policies: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Three hosts that work, shared by all runs that need no others."""
    async with world(tmp_path_factory.mktemp("cloud"), (temporal, "proofs"), ("h1", "h2", "h3")) as made:
        yield made


@pytest.fixture(scope="session")
async def apart(temporal: str, quick_policies: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One host, for runs that see all there is on it."""
    async with world(tmp_path_factory.mktemp("apart"), (temporal, "apart"), (drifting.HOST,)) as made:
        yield made
