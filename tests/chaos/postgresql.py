"""A PostgreSQL among the programs of a stack, so that it too is killed and started again."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.deploy import shell
from infra.deploy.programs import Program
from infra.deploy.stack import Stack
from tests import postgresql

NAME = "postgresql"


@contextmanager
def used(folder: Path) -> Iterator[None]:
    """What this process starts keeps its rows there."""
    os.environ["KILONOVA_DATABASE__URL"] = postgresql.url(folder)
    try:
        yield
    finally:
        del os.environ["KILONOVA_DATABASE__URL"]
        shutil.rmtree(folder, ignore_errors=True)


def add_to(stack: Stack, folder: Path) -> None:
    """The server is the first of the programs: the others need it."""

    def prepare() -> None:
        if not (folder / "data").exists():
            postgresql.make(folder)

    server = Program(
        name=NAME,
        command=postgresql.command(folder),
        prepare=prepare,
        ready=lambda pid: shell.succeeds([postgresql.programs() / "pg_isready", "-h", folder]),
    )
    others = dict(stack.programs)
    stack.programs.clear()
    stack.programs.update({NAME: server, **others})
