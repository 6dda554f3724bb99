"""Virtual environments beside the stack's own: the ``openstack`` client's and Tempest's, each from its lock."""

import hashlib
import sys
from pathlib import Path

from infra.deploy import config, shell
from infra.settings import Settings

_LOCKS = config.ROOT / "requirements"


def client(settings: Settings) -> Path:
    """Folder of the programs of the unmodified ``openstack`` client."""
    return settings.state / "client" / "bin"


def ensure(settings: Settings, name: str) -> Path:
    """Make ``<state>/<name>`` from ``requirements/<name>.txt``, anew only when the lock has changed; returns it.

    Raises:
        SetupError: a package can't be fetched, or isn't the one that the lock has a hash of.
    """
    lock = _LOCKS / f"{name}.txt"
    place = settings.state / name
    done = place / ".lock"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if done.exists() and done.read_text() == wanted:
        return place
    log = config.log_directory(settings) / "setup.log"
    interpreter = Path(sys.base_prefix) / "bin" / "python3"
    shell.run([interpreter, "-m", "venv", "--clear", place], mend="Is python3-venv installed?", log=log)
    pip = [place / "bin" / "pip", "install", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
    shell.run([*map(str, pip), "-r", lock], mend="Check that this machine reaches a Python package index.", log=log)
    done.write_text(wanted)
    return place
