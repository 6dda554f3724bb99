"""One project's many boots and another's single one; and deletes among boots."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.worker import Worker

from api import start
from infra.db import claims
from infra.temporal import queues
from tests.saga import faults
from tests.saga.world import Place, World, boot_body, until, world
from workers import control
from workers.gate import Gate

IN_FLIGHT, MANY = 3, 8


@pytest.fixture(scope="module")
async def busy(temporal: str, quick_policies: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("fair")
    async with world(folder, (temporal, "fair"), ("a",), boots_in_flight=IN_FLIGHT) as made:
        yield made
        for each in _HELD:
            each.set()


_HELD: list[asyncio.Event] = []


def _id(place: Place, key: str) -> str:
    return str(uuid.uuid5(start._NAMESPACE, f"{place.project_id}/{key}"))


class Boots:
    """Boots of one project, which stay where they are made until they are let go."""

    def __init__(self, world: World, place: Place, count: int) -> None:
        self.world, self.place = world, place
        self.go = asyncio.Event()
        _HELD.append(self.go)
        self.keys = [f"k{number}" for number in range(count)]
        self.ids = [_id(place, key) for key in self.keys]
        for server_id in self.ids:
            world.faults.add(f"server/{server_id}", "BootServer", "hypervisor.spawn", faults.held(self.go))

    async def send(self) -> None:
        body = {"server": boot_body(self.place) | {"block_device_mapping_v2": []}}
        path = "/compute/v2.1/servers"
        headers = [{"Idempotency-Key": key} for key in self.keys]
        await asyncio.gather(*(self.world.call(self.place, "POST", path, body, status=202, **sent) for sent in headers))

    def claimed(self) -> int:
        return len([one for one in self.ids if self.world.db.read_now(claims.of_server, one)])

    async def done(self) -> None:
        self.go.set()

        async def closed() -> bool:
            return not any([await self.world.status_of(f"server/{one}") == 1 for one in self.ids])

        await until(closed, 60, lambda: "boots are still open")


async def _waiting(world: World, queue: str, kind: "TaskQueueType.ValueType") -> int:
    """Tasks that no worker has taken yet."""
    request = DescribeTaskQueueRequest(
        namespace=world.client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind, report_stats=True
    )
    return int((await world.client.workflow_service.describe_task_queue(request)).stats.approximate_backlog_count)


async def _until_waiting(world: World, queue: str, kind: "TaskQueueType.ValueType", count: int) -> None:
    async def there() -> bool:
        return await _waiting(world, queue, kind) >= count

    await until(there, 30, lambda: f"there are not {count} tasks on {queue}")


def _with_few_runs(client: Client, **settings: Any) -> Worker:
    if settings["task_queue"] == queues.CONTROL:
        settings |= {"max_concurrent_workflow_tasks": 2, "max_concurrent_workflow_task_polls": 2}
    return Worker(client, **settings)


async def test_a_boot_passes_the_many_of_another_project(busy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than so many are on hosts; what waits, waits where projects take turns."""
    monkeypatch.setattr(Gate, "COUNTED_SECONDS", 60.0)
    many = Boots(busy, await busy.place(), MANY)
    await many.send()
    await until(lambda: many.claimed() == IN_FLIGHT, 30, lambda: str(many.claimed()))
    activity = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
    await _until_waiting(busy, queues.SCHEDULE, activity, MANY - IN_FLIGHT)
    single = Boots(busy, await busy.place(), 1)
    await single.send()
    await _until_waiting(busy, queues.SCHEDULE, activity, MANY - IN_FLIGHT + 1)
    assert (many.claimed(), single.claimed()) == (IN_FLIGHT, 0)
    many.go.set()
    await single.done()
    await many.done()
    order = [id for id, _, step in busy.faults.ran if step == "scheduling.claim_host"]
    rank = list(dict.fromkeys(order)).index(f"server/{single.ids[0]}")
    # Before it were those on hosts, and at most one whose turn it was.
    assert rank <= IN_FLIGHT + 1


async def test_a_boot_that_takes_long_keeps_nobody_waiting(busy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its host is slow, or its image large."""
    monkeypatch.setattr(Gate, "COUNTED_SECONDS", 0.5)
    slow = Boots(busy, await busy.place(), IN_FLIGHT)
    await slow.send()
    await until(lambda: slow.claimed() == IN_FLIGHT, 30, lambda: str(slow.claimed()))
    quick = Boots(busy, await busy.place(), 1)
    await quick.send()
    await quick.done()
    assert not slow.go.is_set()
    await slow.done()


async def test_a_delete_goes_before_boots(busy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no worker is there both pile up; then the delete that came last is the first."""
    place = await busy.place()
    await busy.active(place)
    await busy.stop_control()
    many = Boots(busy, await busy.place(), MANY)
    sent = asyncio.create_task(many.send())
    workflow = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    await _until_waiting(busy, queues.CONTROL, workflow, MANY)
    deleted = asyncio.create_task(busy.delete(place))
    await _until_waiting(busy, queues.CONTROL, workflow, MANY + 1)
    before = len(busy.faults.ran)
    # One new run at a time, so that the order is the queue's.
    monkeypatch.setattr(control, "Worker", _with_few_runs)
    busy.start_control()
    await asyncio.gather(sent, deleted)
    await busy.settled(place)
    steps = ("records.mark_deleting", "identity.validate_token")
    begun = [step for _, _, step in busy.faults.ran[before:] if step in steps]
    assert begun.index("records.mark_deleting") <= 2
    await many.done()
