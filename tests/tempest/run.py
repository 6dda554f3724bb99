"""Runs a list of tests with Tempest's own runner, and says of each how it ended."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.deploy.problems import SetupError
from tests.tempest.setup import Ready

_PROCESSES = 2


@dataclass(frozen=True)
class Outcome:
    test: str
    """Dotted name, without Tempest's attributes in brackets."""
    status: str
    """``success``, ``fail``, ``skip``, or ``not run``."""
    reason: str


def run(ready: Ready, tests: Sequence[str]) -> list[Outcome]:
    """Run ``tests`` and return an outcome for each of them, in their order.

    Raises:
        SetupError: the runner ended without results.
    """
    chosen = ready.workspace / "tests.txt"
    chosen.write_text("".join(f"^{re.escape(test)}(\\[|$)\n" for test in tests))
    environment = {**os.environ, "PATH": f"{ready.programs}{os.pathsep}{os.environ['PATH']}"}
    arguments = ["--config-file", "tempest.conf", "--include-list", chosen.name, "--concurrency", str(_PROCESSES)]
    command: list[str | Path] = [ready.programs / "tempest", "run", *arguments]
    subprocess.run(command, cwd=ready.workspace, env=environment, stdin=subprocess.DEVNULL, check=False)
    return score(tests, _results(ready, environment))


def score(tests: Sequence[str], results: dict[str, tuple[str, str]]) -> list[Outcome]:
    """What became of each of ``tests``; one without a result takes the reason of its class, where that has failed."""
    outcomes = []
    for test in tests:
        status, reason = results.get(test) or ("not run", _of_class(test, results))
        outcomes.append(Outcome(test, status, reason))
    return outcomes


def _of_class(test: str, results: dict[str, tuple[str, str]]) -> str:
    name = test.rpartition(".")[0]
    for fixture in ("setUpClass", "tearDownClass"):
        if found := results.get(f"{fixture} ({name})"):
            return f"{fixture}: {found[1]}"
    return "no result"


def _results(ready: Ready, environment: dict[str, str]) -> dict[str, tuple[str, str]]:
    last = subprocess.run(
        [ready.programs / "stestr", "last", "--subunit"], cwd=ready.workspace, env=environment, capture_output=True
    )
    read = subprocess.run(
        [ready.programs / "python", Path(__file__).with_name("outcomes.py")], input=last.stdout, capture_output=True
    )
    if read.returncode != 0 or not read.stdout:
        raise SetupError("Tempest ended without results.", f"Its logs are in {ready.workspace / 'logs'}.")
    results = {}
    for line in read.stdout.decode().splitlines():
        found = json.loads(line)
        results[re.sub(r"\[.*$", "", found["id"])] = (found["status"], found["reason"])
    return results
