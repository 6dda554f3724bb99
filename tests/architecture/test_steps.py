"""What every activity and workflow declares."""

import ast
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from activities.base import info
from infra.temporal.history import History
from tests.saga.every import SCENARIOS
from workers import registry
from workers.registry import WORKFLOWS
from workers.running import steps

ROOT = Path(__file__).parents[2]
OWNERS = sorted(
    {
        *registry.CONTROL_ACTIVITIES,
        *registry.SCHEDULE_ACTIVITIES,
        *registry.DATA_ACTIVITIES,
        *registry.HOST_ACTIVITIES,
    },
    key=lambda owner: owner.__name__,
)
STEPS = [step for owner in OWNERS for step in steps(owner)]
PROVED_ELSEWHERE = {
    # A transaction, and children that have a scenario.
    "BootServers": "tests/saga/test_other_runs.py::test_several_servers_by_one_request",
    # Only reads: nothing can be left behind.
    "ReadConsole": "tests/saga/test_other_runs.py::test_the_console_is_read_on_its_host",
}
"""Workflows without a scenario, and the test that proves each."""


@pytest.mark.parametrize("step", STEPS, ids=lambda step: info(step).name)
def test_a_step_has_one_model_and_an_undo_or_a_reason(step: Callable[..., Any]) -> None:
    declared = info(step)
    assert (declared.undo is None) != (declared.because is None)
    hints = typing.get_type_hints(step)
    result = hints.pop("return")
    assert len(hints) == 1
    (params,) = hints.values()
    assert issubclass(params, History)
    assert result is type(None) or issubclass(result, History)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: info(step).name)
def test_an_undo_takes_what_its_do_takes(step: Callable[..., Any]) -> None:
    undo = info(step).undo
    if undo is not None:
        assert _params(undo) == _params(step)
        assert info(undo).name in {info(known).name for known in STEPS}
        assert info(undo).undo is None


def _params(step: Callable[..., Any]) -> list[Any]:
    hints = typing.get_type_hints(step)
    hints.pop("return")
    return list(hints.values())


def test_names_are_used_once() -> None:
    names = [info(step).name for step in STEPS]
    assert len(names) == len(set(names))


def test_every_activity_of_the_rooms_is_registered() -> None:
    found = set()
    for path in (ROOT / "activities").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "step" and node.args:
                found.add(ast.literal_eval(node.args[0]))
    assert found == {info(step).name for step in STEPS}


def test_every_workflow_is_proved() -> None:
    """A workflow that is registered later needs a scenario, or a test of its own that is named here."""
    names = {workflow.__temporal_workflow_definition.name for workflow in WORKFLOWS}  # type: ignore[attr-defined]
    scenarios = {scenario.workflow for scenario in SCENARIOS}
    assert names == scenarios | PROVED_ELSEWHERE.keys()
    assert not scenarios & PROVED_ELSEWHERE.keys()
    for test in PROVED_ELSEWHERE.values():
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / file).read_text())
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)}, test


def test_every_workflow_of_the_room_is_registered() -> None:
    found = set()
    for path in (ROOT / "workflows").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any("workflow.defn" in ast.unparse(d) for d in node.decorator_list):
                found.add(node.name)
    assert found == {workflow.__name__ for workflow in WORKFLOWS}


def test_no_workflow_holds_a_time_limit_of_its_own() -> None:
    """All are in ``workflows/policies.py``, by name; what the API is asked for comes by the params."""
    for path in (ROOT / "workflows").glob("*.py"):
        if path.name == "policies.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("timedelta", "RetryPolicy", "Policy"):
                given = [*node.args, *(keyword.value for keyword in node.keywords)]
                assert not any(isinstance(value, ast.Constant) for value in given), f"{path.name}: {ast.unparse(node)}"


def test_workflows_run_activities_by_the_saga_only() -> None:
    for path in (ROOT / "workflows").glob("*.py"):
        called = {
            ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        }
        runs = {name for name in called if "execute_activity" in name or "execute_local_activity" in name}
        assert path.name == "execution.py" or runs == set(), path.name


def test_histories_have_constant_defaults_and_no_validators() -> None:
    """Another default at each replay would be another history; a validator would refuse an old one."""
    models = [History]
    for model in models:
        models += [kind for kind in model.__subclasses__() if kind not in models]
    assert len(models) > 30
    for model in models:
        assert all(field.default_factory is None for field in model.model_fields.values()), model
        assert not model.__pydantic_decorators__.field_validators, model
        assert not model.__pydantic_decorators__.model_validators, model
        assert not inspect.isabstract(model)
