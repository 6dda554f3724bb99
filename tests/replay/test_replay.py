"""Runs that older code began must go on under this code: kept histories are replayed, in the sandbox, whole and up to
every workflow task that they had."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from infra.temporal.converter import data_converter
from workers.registry import WORKFLOWS

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def events_of(path: Path) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(path.read_text())["events"]
    return events


def prefixes(events: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """What a worker that takes the run over at each of its tasks would get."""
    for number, event in enumerate(events, 1):
        if event["eventType"] == "EVENT_TYPE_WORKFLOW_TASK_COMPLETED":
            yield events[:number]
    yield events


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_kept_history_is_what_this_code_would_do(path: Path) -> None:
    replayer = Replayer(workflows=WORKFLOWS, data_converter=data_converter)
    found = [WorkflowHistory.from_json(path.stem, {"events": events}) for events in prefixes(events_of(path))]
    assert found
    for history in found:
        await replayer.replay_workflow(history)


def test_every_workflow_has_a_kept_history() -> None:
    kept = {events_of(path)[0]["workflowExecutionStartedEventAttributes"]["workflowType"]["name"] for path in HISTORIES}
    assert kept == {workflow.__temporal_workflow_definition.name for workflow in WORKFLOWS}  # type: ignore[attr-defined]


def test_no_kept_history_holds_a_secret() -> None:
    """Tokens and user data are sealed before they enter one."""
    for path in HISTORIES:
        for text in payloads(events_of(path)):
            assert re.search(r"eyJ[\w-]+\.[\w-]+\.", text) is None, path.name
            assert base64.b64encode(b"#!/bin/sh").decode()[:12] not in text, path.name
            assert "#!/bin/sh" not in text, path.name


def payloads(value: Any) -> Iterator[str]:
    """Every payload of a history, as the text that it stands for."""
    if isinstance(value, dict):
        if isinstance(value.get("data"), str):
            yield base64.b64decode(value["data"]).decode()
        for inner in value.values():
            yield from payloads(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from payloads(inner)
