"""Scenarios of snapshots of volumes that a guest has: its host makes the copy."""

from typing import Any

import httpx

from api import start_volume
from infra.db import snapshots
from infra.db.types import now
from infra.domain.errors import NotFound
from infra.domain.volume import Snapshot
from tests.saga.scenarios import Scenario, boot, gone
from tests.saga.snapshot import snapshot
from tests.saga.world import Place, World

QUOTA = {"snapshots": 10, "gigabytes": 100}


async def take(world: World, place: Place) -> httpx.Response:
    """As the Volume Service does, under an id that is known before."""
    made = Snapshot(
        id=place.snapshot_id,
        volume_id=place.volume_id,
        project_id=place.project_id,
        user_id=place.user_id,
        size_gb=1,
        status="creating",
        created_at=now(),
    )
    world.db.write_now(lambda session: snapshots.create(session, made, QUOTA, in_use=True))
    await start_volume.work_on(world.services, place.snapshot_id, "snapshot")
    return httpx.Response(202)


def files(world: World, place: Place) -> list[str]:
    """All that there is of the snapshot's data, whole or not."""
    folder = world.volumes.connection(place.snapshot_id).path.parent
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(place.snapshot_id))


def status(world: World, place: Place) -> str | None:
    try:
        return world.db.read_now(snapshots.get, place.snapshot_id).status
    except NotFound:
        return None


async def drop(world: World, place: Place) -> None:
    """The snapshot goes while the guest has its volume."""
    path = f"/volume/v3/{place.project_id}/snapshots/{place.snapshot_id}"
    await world.call(place, "DELETE", path, status=202)
    await world.settled(place)
    assert (status(world, place), files(world, place)) == (None, [])
    assert place.snapshot_id not in world.volumes.volumes()


async def taken(world: World, place: Place, before: dict[str, Any]) -> None:
    """It has its data, and nothing else has changed."""
    assert (status(world, place), files(world, place)) == ("available", [place.snapshot_id])
    assert await snapshot(world, place) == before
    await drop(world, place)
    assert await snapshot(world, place) == before
    await world.delete(place)
    await world.settled(place)


async def not_taken(world: World, place: Place, before: dict[str, Any]) -> None:
    """Data that came and of which nobody was told goes with the snapshot."""
    assert status(world, place) == "error"
    assert files(world, place) in ([], [place.snapshot_id])
    assert await snapshot(world, place) == before
    await drop(world, place)
    await world.delete(place)
    await world.settled(place)


async def gone_but_for_it(world: World, place: Place, before: dict[str, Any]) -> None:
    """It is of the volume as its guest left it, at the latest."""
    assert (status(world, place), files(world, place)) in (
        ("available", [place.snapshot_id]),
        # Made by a control worker, since no guest had the volume any more.
        ("available", []),
    )
    await gone(world, place, before)


SNAPSHOT = Scenario(
    name="snapshot",
    workflow="VolumeWork",
    workflow_id=lambda place: f"snapshot/{place.snapshot_id}",
    prepare=boot,
    begin=take,
    steps=(
        "volume_data.pending",
        "hypervisor.copy_volume",
        "volume_data.take_in",
        "hypervisor.drop_volume_copy",
        "volume_data.settle",
    ),
    done=taken,
    undone=not_taken,
    gone=gone_but_for_it,
    # A copy that is not removed is left to the sweeper.
    forward_only=frozenset({"volume_data.pending", "hypervisor.drop_volume_copy", "volume_data.settle"}),
    local=frozenset({"volume_data.pending", "volume_data.settle"}),
    shielded=True,
)
SCENARIOS = (SNAPSHOT,)
