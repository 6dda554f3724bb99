"""A PostgreSQL among the programs of a stack, so that it too is killed and started again."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.deploy import shell
from infra.deploy.programs import Program
from infra.deploy.stack import Stack

NAME = "postgresql"
_USER = "postgres"
_AS_USER = ("setpriv", "--reuid", _USER, "--regid", _USER, "--clear-groups")


@contextmanager
def used(folder: Path) -> Iterator[None]:
    """What this process starts keeps its rows there."""
    os.environ["KILONOVA_DATABASE__URL"] = f"postgresql+psycopg://kilonova@/postgres?host={folder}"
    try:
        yield
    finally:
        del os.environ["KILONOVA_DATABASE__URL"]
        shutil.rmtree(folder, ignore_errors=True)


def add_to(stack: Stack, folder: Path) -> None:
    """The server is the first of the programs: the others need it."""
    programs = _programs()
    data = folder / "data"

    def prepare() -> None:
        if not data.exists():
            folder.mkdir(exist_ok=True)
            shutil.chown(folder, _USER)
            initdb = ["initdb", "-D", data, "-U", "kilonova", "-A", "trust", "-E", "UTF8", "--locale=C"]
            subprocess.run([*_AS_USER, programs / initdb[0], *initdb[1:]], check=True, capture_output=True, cwd="/")

    server = Program(
        name=NAME,
        command=[*_AS_USER, str(programs / "postgres"), "-D", str(data), "-k", str(folder), "-h", ""],
        prepare=prepare,
        ready=lambda pid: shell.succeeds([programs / "pg_isready", "-h", folder]),
    )
    others = dict(stack.programs)
    stack.programs.clear()
    stack.programs.update({NAME: server, **others})


def _programs() -> Path:
    return sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))[-1].parent
