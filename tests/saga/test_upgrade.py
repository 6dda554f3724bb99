"""Control workers of another build take over runs that are open, and kept histories replay on it.

The next build here is one that orders a boot's steps in another way, behind ``workflow.patched``: runs that are past
the change go on as they began, all others take the new way.
"""

from collections.abc import AsyncIterator

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from activities.models import Admitted, Attempt, Instance
from activities.networks import AllocatedPort, PlugResult
from infra.temporal.converter import data_converter
from tests.replay.test_replay import HISTORIES
from tests.saga import faults
from tests.saga.scenarios import active
from tests.saga.snapshot import snapshot
from tests.saga.world import Place, World, until, world
from workers import control
from workers.registry import WORKFLOWS
from workflows.boot_server import BootParams, BootServer
from workflows.verb import Outcome


@workflow.defn(name="BootServer")
class NextBuild(BootServer):
    """Fetches the images when the networks are there, no longer beside them."""

    @workflow.init
    def __init__(self, params: BootParams) -> None:
        super().__init__(params)
        self.connected = False

    @workflow.run
    async def run(self, params: BootParams) -> Outcome:
        return await super().run(params)

    def changed(self) -> bool:
        return workflow.patched("images-after-networks")

    async def fetch_images(self, server: Admitted, attempt: Attempt) -> list[object]:
        if self.changed():
            await workflow.wait_condition(lambda: self.connected)
        return await super().fetch_images(server, attempt)

    async def plug_ports(self, attempt: Attempt, instance: Instance, ports: list[AllocatedPort]) -> list[PlugResult]:
        plugged = await super().plug_ports(attempt, instance, ports)
        self.connected = True
        return plugged


@workflow.defn(name="BootServer")
class Careless(NextBuild):
    """The same change, not behind ``patched``."""

    @workflow.init
    def __init__(self, params: BootParams) -> None:
        super().__init__(params)

    @workflow.run
    async def run(self, params: BootParams) -> Outcome:
        return await super().run(params)

    def changed(self) -> bool:
        return True


KEPT = {path.stem: path.read_text() for path in HISTORIES}


def build(boot: type) -> tuple[type, ...]:
    return tuple(boot if one is BootServer else one for one in WORKFLOWS)


@pytest.fixture(scope="module")
async def upgraded(
    temporal: str, quick_policies: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    async with world(tmp_path_factory.mktemp("upgrade"), (temporal, "upgrade"), ("a",)) as made:
        yield made


async def _upgrade_at(world: World, place: Place, step: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Boot, exchange the control workers while the step runs, and see the boot through; its steps in their order."""
    taken_over = faults.Barrier()
    world.faults.add(place.workflow_id, "BootServer", step, taken_over.act)
    await world.boot(place)
    await until(lambda: taken_over.reached, 30, lambda: f"it never came to {step}")
    await world.stop_control()
    monkeypatch.setattr(control, "WORKFLOWS", build(NextBuild))
    world.start_control()
    taken_over.open.set()
    await world.settled(place)
    return world.faults.steps(place.workflow_id, "BootServer")


async def _is_patched(world: World, place: Place) -> bool:
    """Whether the boot took the changed way; its history has a marker then."""
    history = await world.handle(place.workflow_id).fetch_history()
    return any(event.marker_recorded_event_attributes.marker_name == "core_patch" for event in history.events)


@pytest.mark.parametrize(
    ("step", "new_way"), [("networks.allocate", True), ("networks.plug", False), ("hypervisor.spawn", False)]
)
async def test_a_boot_survives_an_upgrade(
    cloud: World, monkeypatch: pytest.MonkeyPatch, step: str, new_way: bool
) -> None:
    place = await cloud.place()
    before = await snapshot(cloud, place)
    try:
        steps = await _upgrade_at(cloud, place, step, monkeypatch)
        assert await _is_patched(cloud, place) == new_way
        # In the old way they run side by side.
        assert not new_way or steps.index("images.fetch") > steps.index("networks.plug")
        await active(cloud, place, before)
    finally:
        monkeypatch.undo()
        await cloud.stop_control()
        cloud.start_control()


async def _replay(name: str, boot: type) -> None:
    replayer = Replayer(
        workflows=build(boot),
        data_converter=data_converter,
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    await replayer.replay_workflow(WorkflowHistory.from_json(name, KEPT[name]))


@pytest.mark.parametrize("name", KEPT)
async def test_kept_histories_replay_on_the_next_build(name: str) -> None:
    await _replay(name, NextBuild)


async def test_a_change_that_is_not_patched_is_found() -> None:
    with pytest.raises(workflow.NondeterminismError):
        await _replay("boot", Careless)
