"""A stack of its own in every respect: state folder, ports, prefix of its devices, realm."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.deploy import clean, clients, config, demo, setup
from infra.deploy.rest import Cloud
from infra.deploy.stack import Stack
from infra.settings import ApiSettings, DeploySettings, HostSettings, KeycloakSettings, Settings
from tests import kept
from tests.e2e.world import World, free_ports

STATE = "KILONOVA_STATE_DIR"


@contextmanager
def running(state: Path, name: str, prepare: Callable[[Stack], None] = lambda stack: None) -> Iterator[World]:
    """All programs, running, with people, flavors, images, a network and a key; nothing of it is left afterwards.

    ``state`` is made anew. ``prepare`` may change the stack before anything of it runs.
    """
    kept.fetch()
    lender = os.environ.get(STATE)
    try:
        if (state / "kilonova.toml").exists():
            os.environ[STATE] = str(state)
            clean.clean(Settings(), print)
        state.mkdir(exist_ok=True)
        _restore(lender)
        kept.lend(state)
        os.environ[STATE] = str(state)
        stack = Stack(config.ensure(_settings(state, name)))
        clients.write(stack.settings)
        prepare(stack)
        try:
            stack.start()
            setup.first_people(stack.settings)
            network_id = setup.seed(stack.settings)
            demo.wait_for_host(Cloud(stack.settings, "kilonova-admin"), stack.settings)
            yield World(stack.settings, stack, network_id)
        finally:
            clean.clean(stack.settings, print)
    finally:
        _restore(lender)


def _restore(lender: str | None) -> None:
    os.environ.pop(STATE, None)
    if lender is not None:
        os.environ[STATE] = lender


def _settings(state: Path, name: str) -> Settings:
    api, temporal, ui, keycloak, vxlan = free_ports(5)
    return Settings(
        state_dir=state,
        api=ApiSettings(port=api),
        keycloak=KeycloakSettings(url=f"http://127.0.0.1:{keycloak}", realm=name),
        host=HostSettings(name=name, interface_prefix="kt", vxlan_port=vxlan),
        deploy=DeploySettings(temporal_port=temporal, temporal_ui_port=ui, keycloak_port=keycloak),
    )
