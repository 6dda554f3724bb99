"""A PostgreSQL server of the tests' own: Debian's programs, a folder and a unix socket, nothing else."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine

USER = "kilonova"


def programs() -> Path:
    """Where Debian puts them.

    Raises:
        RuntimeError: it is not installed.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        raise RuntimeError("PostgreSQL is not installed: run `make up` once, or apt-get install postgresql.")
    return found[-1].parent


def url(folder: Path) -> str:
    """Of the maintenance database of a server whose socket is in this folder."""
    return f"postgresql+psycopg://{USER}@/postgres?host={folder}"


def command(folder: Path, *options: str) -> list[str]:
    """Runs the server in the foreground; it listens in this folder only."""
    server = [str(programs() / "postgres"), "-D", str(folder / "data"), "-k", str(folder), "-h", "", *options]
    return [*_as_owner(), *server]


def make(folder: Path, *options: str) -> None:
    """A cluster without any password, for who may open its folder."""
    folder.mkdir(exist_ok=True)
    shutil.chown(folder, _owner())
    initdb = [str(programs() / "initdb"), "-D", str(folder / "data"), "-U", USER, "-A", "trust", "-E", "UTF8"]
    subprocess.run([*_as_owner(), *initdb, "--locale=C", *options], check=True, capture_output=True, cwd="/")


@contextmanager
def running(*options: str) -> Iterator[str]:
    """URL of a new server's maintenance database; it and its folder go in the end."""
    folder = Path(tempfile.mkdtemp(prefix="kilonova-pg-"))
    make(folder, "-N")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command(folder, *options), stdout=log, stderr=log, cwd="/")
        try:
            _wait_for(url(folder), server)
            yield url(folder)
        finally:
            server.terminate()
            server.wait(30)
            shutil.rmtree(folder, ignore_errors=True)


def _owner() -> str:
    # The server refuses to run as root.
    return "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def _as_owner() -> list[str]:
    return ["setpriv", "--reuid", _owner(), "--regid", _owner(), "--clear-groups"] if os.geteuid() == 0 else []


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    engine = create_engine(url)
    for _ in range(200):
        try:
            engine.connect().close()
            break
        except Exception:
            try:
                server.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            raise
    engine.dispose()
