"""One stack for the session, of its own in every respect; each test has to leave it as it was."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.deploy import clean, clients, config, demo, setup
from infra.deploy.rest import Cloud
from infra.deploy.stack import Stack
from infra.settings import ApiSettings, DeploySettings, HostSettings, KeycloakSettings, Settings
from tests import kept
from tests.e2e.traces import look
from tests.e2e.world import World, free_ports, until

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
def stack() -> Iterator[Stack]:
    """All programs, running, with people, flavors, images, a network and a key."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    kept.fetch()
    with pytest.MonkeyPatch.context() as patch:
        if (_STATE / "kilonova.toml").exists():
            patch.setenv("KILONOVA_STATE_DIR", str(_STATE))
            clean.clean(Settings(), print)
            patch.undo()
        _STATE.mkdir(exist_ok=True)
        kept.lend(_STATE)
        patch.setenv("KILONOVA_STATE_DIR", str(_STATE))
        made = Stack(config.ensure(_settings()))
        clients.write(made.settings)
        try:
            made.start()
            setup.first_people(made.settings)
            setup.seed(made.settings)
            demo.wait_for_host(Cloud(made.settings, "kilonova-admin"), made.settings)
            yield made
        finally:
            clean.clean(made.settings, print)


def _settings() -> Settings:
    api, temporal, ui, keycloak, vxlan = free_ports(5)
    return Settings(
        state_dir=_STATE,
        api=ApiSettings(port=api),
        keycloak=KeycloakSettings(url=f"http://127.0.0.1:{keycloak}", realm="e2e"),
        host=HostSettings(name="e2e", interface_prefix="kt", vxlan_port=vxlan),
        deploy=DeploySettings(temporal_port=temporal, temporal_ui_port=ui, keycloak_port=keycloak),
    )


@pytest.fixture(scope="session")
def shared_world(stack: Stack) -> World:
    return World(stack.settings, stack, setup.seed(stack.settings))


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
