"""What a person needs to use the stack: ``clouds.yaml``, a key, and a file to source."""

import shlex
from pathlib import Path

import yaml

from infra.deploy import config, shell, venvs
from infra.settings import Settings

# Cloud, its user, and the project that it works in.
CLOUDS = {
    "kilonova": ("demo", "demo"),
    "kilonova-reader": ("reader", "demo"),
    "kilonova-admin": ("admin", "admin"),
}


def clouds_file(settings: Settings) -> Path:
    return settings.state / "clouds.yaml"


def key_file(settings: Settings) -> Path:
    return settings.state / "demo.pem"


def write(settings: Settings) -> None:
    """Write the files; a key that is there is kept."""
    clouds = {cloud: _cloud(settings, user, project) for cloud, (user, project) in CLOUDS.items()}
    config.write_private(clouds_file(settings), yaml.safe_dump({"clouds": clouds}, sort_keys=False))
    key, activate = key_file(settings), settings.state / "activate"
    if not key.exists():
        command: list[str | Path] = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "demo@kilonova", "-f", key]
        shell.run(command, mend="Install the package openssh-client.")
    activate.write_text(_ACTIVATE.format(path=shlex.quote(str(venvs.client(settings))), clouds=_quoted(settings)))
    config.give_to_developer(clouds_file(settings), key, key.with_name("demo.pem.pub"), activate)


_ACTIVATE = """\
# Use it as `. <this file>`: it puts the openstack client on the path and points it at this stack.
export PATH={path}:"$PATH"
export OS_CLIENT_CONFIG_FILE={clouds}
export OS_CLOUD=kilonova
"""


def _quoted(settings: Settings) -> str:
    return shlex.quote(str(clouds_file(settings)))


def _cloud(settings: Settings, user: str, project: str) -> dict[str, object]:
    return {
        "auth": {
            "auth_url": f"{settings.api_url}/identity/v3",
            "username": user,
            "password": settings.deploy.passwords[user].get_secret_value(),
            "project_name": project,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        "region_name": settings.api.region,
        "interface": "public",
        "identity_api_version": 3,
    }


def openstack(settings: Settings, *arguments: str, timeout: float = 600) -> str:
    """Run the ``openstack`` client as the demo project's member and return what it printed.

    Raises:
        SetupError: it failed; the sentence has its message.
    """
    environment = [f"OS_CLIENT_CONFIG_FILE={clouds_file(settings)}", "OS_CLOUD=kilonova"]
    command = ["env", *environment, str(venvs.client(settings) / "openstack"), *arguments]
    return shell.run(
        command,
        mend=f"`make status` shows what runs, the logs are in {config.log_directory(settings)}.",
        log=config.log_directory(settings) / "setup.log",
        timeout=timeout,
        name=f"openstack {' '.join(arguments[:2])}",
    )
