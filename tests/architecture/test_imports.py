"""Who may import whom: ``api -> workflows -> activities -> infra``; ``workers`` wires all but the API."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = {
    "infra": {"infra"},
    "activities": {"activities", "infra"},
    "workflows": {"workflows", "activities", "infra"},
    "api": {"api", "workflows", "activities", "infra"},
    "workers": {"workers", "workflows", "activities", "infra"},
}
"""What each room may import of ours."""
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Full names of the modules and members that a file imports, wherever in it."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(found)


def users_of(*modules: str) -> set[str]:
    """Files that import one of these modules or something of them."""
    return {
        str(path.relative_to(ROOT))
        for path in FILES
        if any(name == module or name.startswith(f"{module}.") for name in imports(path) for module in modules)
    }


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_the_way_the_data_flows(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        ours = {name.partition(".")[0] for name in imports(path)} & {*ROOMS, "tests"}
        assert ours <= ROOMS[room], f"{path.relative_to(ROOT)} imports {ours - ROOMS[room]}"


def test_the_domain_knows_only_itself() -> None:
    for path in (ROOT / "infra" / "domain").rglob("*.py"):
        ours = [name for name in imports(path) if name.partition(".")[0] in ROOMS]
        assert all(name.startswith("infra.domain.") for name in ours), path
        assert not set(imports(path)) & {"os", "socket", "subprocess", "pathlib.Path", "httpx", "sqlmodel"}, path


def test_infra_keeps_out_of_the_engine() -> None:
    """Only the room for it, and its set-up, know Temporal."""
    allowed = ("infra/temporal/", "infra/deploy/")
    assert [
        path for path in sorted(users_of("temporalio")) if path.startswith("infra/") and not path.startswith(allowed)
    ] == []


def test_only_the_driver_imports_libvirt() -> None:
    assert all(path.startswith("infra/compute/libvirt/") for path in users_of("libvirt"))


def test_only_settings_read_the_environment() -> None:
    def reads(path: Path) -> Iterator[str]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"):
                yield ast.unparse(node)

    assert {str(path.relative_to(ROOT)) for path in FILES if list(reads(path))} == {"infra/settings.py"}


def test_tables_stay_in_their_room() -> None:
    """Rows are not passed around: above ``infra/db`` only what builds a query names a table."""
    above = {path for path in users_of("infra.db.tables") if not path.startswith("infra/db/")}
    assert {path for path in above if path.startswith(("workflows/", "activities/", "workers/"))} == set()


def test_workflows_need_no_hypervisor_web_server_or_keycloak() -> None:
    """Workflow code is loaded again for every sandbox, and does no input or output.

    Its params are the activities' own models, and their modules reach the database and the HTTP client: those are the
    limit of this rule.
    """
    script = "import sys, workers.registry as r; print(*(m for m in sys.modules if '.' not in m))"
    known = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"libvirt", "fastapi", "uvicorn", "starlette", "keycloak", "pyroute2", "supervisor", "api"}
    assert set(known.stdout.split()) & heavy == set()


def test_every_module_can_be_the_first_one_imported() -> None:
    """No module needs another to be imported before it: there are no cycles."""
    names = {_name(path) for path in FILES}
    graph: dict[str, set[str]] = {}
    for path in FILES:
        # ``from a import b``: b is a module, or a member of a.
        wanted = {name if name in names else name.rpartition(".")[0] for name in imports(path)}
        graph[_name(path)] = (wanted & names) - {_name(path)}
    done: set[str] = set()
    while ready := {name for name, targets in graph.items() if name not in done and targets <= done}:
        done |= ready
    assert set(graph) - done == set()


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
