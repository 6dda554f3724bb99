"""One stack for the session, of its own in every respect; each test has to leave it as it was."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.deploy import config
from tests.e2e import own
from tests.e2e.traces import look
from tests.e2e.world import World, until

_STATE = config.ROOT / ".kilonova-e2e"
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The whole comes after its parts."""
    mine = [item for item in items if _HERE in item.path.parents]
    for item in mine:
        item.add_marker(pytest.mark.e2e)
        item.add_marker(pytest.mark.timeout(900))
    items.sort(key=lambda item: _HERE in item.path.parents)


@pytest.fixture(scope="session")
def shared_world() -> Iterator[World]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with own.running(_STATE, "e2e") as made:
        yield made


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """The stack, which has to be after the test what it was before."""
    shared_world.sign_in()
    before = look(shared_world.settings)
    yield shared_world
    # A delete answers when the user sees nothing any more; its run closes a moment later.
    try:
        until(lambda: not look(shared_world.settings)["open runs"], "all runs have ended", 60)
        assert look(shared_world.settings) == before
    finally:
        shared_world.purge()
