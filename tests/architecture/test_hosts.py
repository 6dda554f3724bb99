"""Hosts have no database access: their worker does not even load the means for it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["sqlmodel", "sqlalchemy", "fastapi", "infra.db.engine", "workflows", "numpy"])
def test_a_compute_worker_does_not_load(module: str) -> None:
    code = f"import sys, workers.compute; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
