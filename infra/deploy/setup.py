"""``make up`` from beginning to end: each step looks whether it is done already, and does what is missing."""

import asyncio
import sys
from collections.abc import Callable

from rich.console import Console

from infra.deploy import clients, config, demo, keycloak, people, seeds, shell, venvs
from infra.deploy.demo import Demo
from infra.deploy.problems import SetupError
from infra.deploy.progress import Steps
from infra.deploy.rest import Cloud
from infra.deploy.stack import Stack
from infra.domain.errors import KilonovaError
from infra.identity.keycloak import KeycloakProvider
from infra.settings import Settings


def up(settings: Settings, console: Console) -> Demo:
    """Install, start and fill the stack of ``settings``, and boot its first server.

    Raises:
        SetupError: a step can't be done.
    """
    settings = config.ensure(settings)
    with Steps(console) as steps:
        steps.together(parts(settings))
        clients.write(settings)
        stack = Stack(settings)
        for name in stack.programs:
            with steps.step(name):
                stack.start([name])
        with steps.step("projects, users and roles"):
            first_people(settings)
        with steps.step("flavors, images, networks and key"):
            network_id = seed(settings)
        with steps.step("the compute host"):
            demo.wait_for_host(Cloud(settings, "kilonova-admin"), settings)
        with steps.step(f"the server {demo.NAME}"):
            return demo.boot(settings, network_id)


def parts(settings: Settings) -> dict[str, Callable[[], object]]:
    """What a state folder holds that is fetched or built, by its name for people; each is quick if it is there."""
    return {
        "the openstack client": lambda: venvs.ensure(settings, "client"),
        "the guest image": lambda: guest(settings),
        f"Keycloak {keycloak.VERSION}": lambda: keycloak.install(settings),
    }


def guest(settings: Settings) -> None:
    """Have the guest's files in the state folder."""
    directory = seeds.guest_directory(settings)
    if not all((directory / name).exists() for name in ("vmlinuz", "initrd.img", "disk.qcow2")):
        mend = "The guest is built from Debian packages: check /etc/apt/sources.list, run `apt-get update`."
        log = config.log_directory(settings) / "setup.log"
        shell.run([sys.executable, "-m", "infra.deploy.guest", directory], mend=mend, log=log, cwd=config.ROOT)
    seeds.prepare_images(settings)


def first_people(settings: Settings) -> None:
    """Have the projects, users and roles of ``people`` in the realm."""

    async def ensure() -> None:
        provider = KeycloakProvider(settings)
        try:
            await people.ensure(provider, settings.deploy.passwords)
        finally:
            await provider.close()

    try:
        asyncio.run(ensure())
    except KilonovaError as error:
        log = config.log_directory(settings) / "keycloak.log"
        raise SetupError(f"Keycloak refused: {error}.", f"Its log is {log}.") from error


def seed(settings: Settings) -> str:
    """Have flavors, images, networks with a router, and key; returns the network's id."""
    admin = Cloud(settings, "kilonova-admin")
    seeds.flavors(admin)
    seeds.images(admin, seeds.guest_directory(settings))
    seeds.key(Cloud(settings, "kilonova"), settings)
    network_id = seeds.network(admin)
    seeds.router(admin, network_id, seeds.public(admin, settings.deploy.public_cidr))
    return network_id
