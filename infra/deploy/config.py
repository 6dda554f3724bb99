"""The stack's own configuration file, written at its first run: ports as they were chosen, secrets newly made."""

import base64
import json
import os
import secrets
from pathlib import Path

from infra.deploy import libvirtd
from infra.deploy.problems import SetupError
from infra.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
USERS = ("demo", "reader", "admin")


def libvirt_directory(settings: Settings) -> Path:
    return settings.state / "libvirt"


def log_directory(settings: Settings) -> Path:
    return settings.state / "logs"


def ensure(settings: Settings) -> Settings:
    """Write ``<state>/kilonova.toml`` if there is none, and return the settings as they read with it.

    Raises:
        SetupError: the state folder can't be written, or isn't the one that ``KILONOVA_STATE_DIR`` names.
    """
    file = settings.state / "kilonova.toml"
    if not file.exists():
        try:
            settings.state.mkdir(parents=True, exist_ok=True, mode=0o755)
            write_private(file, _text(settings))
        except OSError as error:
            raise SetupError(
                f"The state folder {settings.state} can't be written: {error.strerror}.",
                "Choose another one with KILONOVA_STATE_DIR.",
            ) from error
    again = Settings()
    if again.state != settings.state or not again.keycloak.client_secret.get_secret_value():
        raise SetupError(f"{file} is not the file that the settings are read from.", "Name it with KILONOVA_STATE_DIR.")
    return again


def write_private(file: Path, text: str) -> None:
    """Write ``file`` whole or not at all, readable by its owner only."""
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    part.replace(file)


def give_to_developer(*files: Path) -> None:
    """Let the one who owns the source tree read files that root has written for them."""
    owner = ROOT.stat()
    for file in files:
        os.chown(file, owner.st_uid, owner.st_gid)


def _text(settings: Settings) -> str:
    deploy, host = settings.deploy, settings.host
    groups: dict[str, dict[str, str | int]] = {
        "api": {"host": settings.api.host, "port": settings.api.port},
        "temporal": {
            "address": f"127.0.0.1:{deploy.temporal_port}",
            "ui_url": f"http://127.0.0.1:{deploy.temporal_ui_port}",
        },
        "keycloak": {
            "url": f"http://127.0.0.1:{deploy.keycloak_port}",
            "realm": settings.keycloak.realm,
            "client_secret": secrets.token_urlsafe(32),
            "worker_client_secret": secrets.token_urlsafe(32),
        },
        "seal.keys": {"k1": base64.b64encode(secrets.token_bytes(32)).decode()},
        "host": {
            "name": host.name,
            "libvirt_uri": libvirtd.uri(libvirt_directory(settings)),
            "interface_prefix": host.interface_prefix,
            "vxlan_port": host.vxlan_port,
        },
        "deploy": {
            "temporal_port": deploy.temporal_port,
            "temporal_ui_port": deploy.temporal_ui_port,
            "keycloak_port": deploy.keycloak_port,
            "public_cidr": deploy.public_cidr,
            "keycloak_admin_password": secrets.token_urlsafe(24),
        },
        "deploy.passwords": {name: secrets.token_urlsafe(12) for name in USERS},
    }
    lines = ["# Written at the first `make up`. Holds secrets: readable by its owner only.", ""]
    for name, values in groups.items():
        # A JSON string of printable characters is a TOML basic string too.
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""]
    return "\n".join(lines)
