"""Files and functions stay small enough to be read at once."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("infra", "activities", "workflows", "api", "workers")
FILE_LINES = 300
FUNCTION_LINES = 40
GENERATED = ("infra/db/migrations/versions/",)
LONG_FILES = {
    "infra/db/servers.py": 390,
    "workflows/boot_server.py": 350,
}
"""Longer than the rest, and why not split: each is the one place for its subject. They may not grow beyond this."""
LONG_FUNCTIONS: dict[str, int] = {
    "api/start.py:boot": 70,
    "workflows/boot_server.py:build": 65,
    "infra/compute/guests.py:build": 65,
    "api/faults.py:install": 45,
    "api/volume/snapshots.py:add_to": 50,
    "api/volume/volumes.py:add_to": 50,
}
"""Functions that are one list of steps or of fields from their first line to their last."""


def sources() -> Iterator[tuple[str, str]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            if not name.startswith(GENERATED):
                yield name, path.read_text()


def test_files_are_short() -> None:
    lengths = {name: text.count("\n") for name, text in sources()}
    assert {name: lines for name, lines in lengths.items() if lines > LONG_FILES.get(name, FILE_LINES)} == {}
    assert [name for name in LONG_FILES if lengths.get(name, 0) <= FILE_LINES] == [], "no exception any more"


def test_functions_are_short() -> None:
    lengths: dict[str, int] = {}
    for name, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lengths[f"{name}:{node.name}"] = _lines(node)
    assert {key: lines for key, lines in lengths.items() if lines > LONG_FUNCTIONS.get(key, FUNCTION_LINES)} == {}


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without its signature and docstring: those say what it is, not what it does."""
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
