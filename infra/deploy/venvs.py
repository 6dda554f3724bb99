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
    """Bring ``<state>/<name>`` to ``requirements/<name>.txt``, only when the lock has changed; returns it.

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
    python = place / "bin" / "python"
    if not shell.succeeds([python, "-m", "pip", "--version"], timeout=60):
        base = Path(sys.base_prefix) / "bin" / "python3"
        shell.run([base, "-m", "venv", "--clear", place], mend="Is python3-venv installed?", log=log)
    pip: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--require-hashes",
        "--no-deps",
    ]
    shell.run([*pip, "-r", lock], mend="Check that this machine reaches a Python package index.", log=log)
    done.write_text(wanted)
    return place
