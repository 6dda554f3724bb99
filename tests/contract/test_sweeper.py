"""What was written down and never started is started, on both databases."""

import uuid
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.volume_data import DataRef
from infra.db import servers, snapshots, volumes
from infra.db.engine import Database
from infra.db.types import now
from infra.domain.server import TaskState, VmState
from infra.domain.volume import Snapshot, Volume
from tests.contract.hosts_help import add
from tests.contract.servers_help import server
from workers import reconciling, sweeper
from workers.sweeper import sweep
from workflows.reconcile_host import ReconcileParams

QUOTA = {"volumes": 10, "gigabytes": 100, "snapshots": 10}


class Starts:
    """Takes the starts that a Temporal client would make, and says what became of runs."""

    def __init__(self, **runs: WorkflowExecutionStatus) -> None:
        self.ids: list[str] = []
        self.params: list[Any] = []
        self.runs = runs
        self.closed: dict[str, datetime] = {}

    async def start_workflow(self, run: Any, params: Any, *, id: str, **options: Any) -> None:
        joins = isinstance(params, DataRef | ReconcileParams)
        assert options["id_conflict_policy"].name == ("USE_EXISTING" if joins else "FAIL")
        self.ids.append(id)
        self.params.append(params)

    def get_workflow_handle(self, id: str) -> Any:
        async def describe() -> Any:
            if id not in self.runs:
                raise RPCError("no such workflow", RPCStatusCode.NOT_FOUND, b"")
            return SimpleNamespace(status=self.runs[id], close_time=self.closed.get(id), start_time=now())

        return SimpleNamespace(describe=describe)


def _volume(db: Database) -> str:
    volume = Volume(id=str(uuid.uuid4()), project_id="p", user_id="u", size_gb=1, status="creating", created_at=now())
    return db.write_now(volumes.create, volume, QUOTA).id


async def test_only_rows_that_ask_for_work_get_a_run(database: Database) -> None:
    done, made, deleting = (_volume(database) for _ in range(3))
    for one in (done, deleting):
        database.write_now(volumes.set_available, one)
    database.write_now(volumes.begin_delete, deleting)
    snapshot = Snapshot(
        id=str(uuid.uuid4()),
        volume_id=done,
        project_id="p",
        user_id="u",
        size_gb=1,
        status="creating",
        created_at=now(),
    )
    database.write_now(snapshots.create, snapshot, QUOTA)
    starts = Starts()
    await sweep(starts, database)  # type: ignore[arg-type]
    assert sorted(starts.ids) == sorted([f"volume/{made}", f"volume/{deleting}", f"snapshot/{snapshot.id}"])


LONG_AGO = timedelta(hours=1)
RUNNING, TERMINATED = WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.TERMINATED


def _server(database: Database, since: datetime, **fields: Any) -> str:
    values = {"vm_state": VmState.BUILDING, "task_state": TaskState.SPAWNING, "op": "req-lost"}
    made = server(since, **(values | fields))
    database.write_now(servers.insert, made)
    return made.id


async def test_a_server_that_no_run_holds_is_repaired(database: Database) -> None:
    old = now() - LONG_AGO
    ended, forgotten, runs = (_server(database, old, launch_index=1) for _ in range(3))
    _server(database, now())
    _server(database, old, vm_state=VmState.ACTIVE, task_state=None, op=None)
    starts = Starts(**{f"server/{ended}": TERMINATED, f"server/{runs}": RUNNING})
    await sweep(starts, database)  # type: ignore[arg-type]
    assert sorted(starts.ids) == sorted([f"server/{ended}", f"server/{forgotten}"])
    assert {params.seen_op for params in starts.params} == {"req-lost"}
    why = {params.server_id: params.why for params in starts.params}
    assert why == {ended: "The request was terminated by an operator.", forgotten: sweeper._LOST}


async def test_a_server_whose_reservation_still_runs_waits_for_its_boot(database: Database) -> None:
    first = _server(database, now() - LONG_AGO)
    second = _server(database, now() - LONG_AGO, launch_index=1)
    starts = Starts(**{f"reservation/r-{first}": RUNNING})
    await sweep(starts, database)  # type: ignore[arg-type]
    assert starts.ids == []
    starts.runs[f"reservation/r-{first}"] = TERMINATED
    await sweep(starts, database)  # type: ignore[arg-type]
    assert sorted(starts.ids) == sorted([f"server/{first}", f"server/{second}"])


async def test_hosts_are_compared_when_they_are_due_and_not_all_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(database, "a", "b", "c")
    monkeypatch.setattr(reconciling, "AT_ONCE", 2)
    starts, due = Starts(**{"host/b": WorkflowExecutionStatus.COMPLETED}), reconciling.Reconciling()
    starts.closed["host/b"] = now() - timedelta(minutes=1)
    for expected in (["host/a", "host/c"], ["host/a", "host/c"]):
        await due.start_due(starts, database)  # type: ignore[arg-type]
        assert starts.ids == expected
    # Another worker, or this one after a restart, finds in the runs when they were.
    starts.closed |= {"host/a": now(), "host/b": now() - reconciling.EVERY, "host/c": now()}
    starts.runs |= {"host/a": WorkflowExecutionStatus.COMPLETED, "host/c": RUNNING}
    await reconciling.Reconciling().start_due(starts, database)  # type: ignore[arg-type]
    assert starts.ids == ["host/a", "host/c", "host/b"]
