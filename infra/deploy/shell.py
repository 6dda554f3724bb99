"""Runs outside programs for the set-up, with their output kept in a log."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from infra.deploy.problems import SetupError


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "(it printed nothing)"


def run(
    command: Sequence[str | Path],
    *,
    mend: str,
    log: Path | None = None,
    cwd: Path | None = None,
    timeout: float = 900,
    name: str | None = None,
) -> str:
    """Run ``command`` to its end and return its standard output; ``name`` is what people know it by.

    ``log`` is appended with everything it printed. ``mend`` tells a person what to do when it fails.

    Raises:
        SetupError: the program is missing, took longer than ``timeout`` seconds, or exited with another code than 0.
    """
    name = name or Path(command[0]).name
    if shutil.which(str(command[0])) is None:
        raise SetupError(f"The program '{name}' is not installed.", mend)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=cwd, timeout=timeout, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"'{name}' did not end within {timeout:.0f} s.", mend) from error
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(f"$ {name}\n{done.stdout}{done.stderr}")
    if done.returncode != 0:
        where = f" (all of it: {log})" if log else ""
        said = last_line(done.stderr if done.stderr.strip() else done.stdout)
        raise SetupError(f"'{name}' failed: {said}{where}.", mend)
    return done.stdout


def succeeds(command: Sequence[str | Path], *, timeout: float = 10) -> bool:
    """Whether ``command`` exits with 0 in time; its output is not wanted."""
    try:
        return subprocess.run(command, capture_output=True, timeout=timeout, stdin=subprocess.DEVNULL).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
