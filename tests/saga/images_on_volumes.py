"""An image of a server on volumes: snapshots that the Volume Service makes, and a description of them."""

import json
from typing import Any

from infra.db import images, snapshots, volumes
from infra.domain.image import Image
from infra.domain.image_devices import MAPPING
from tests.saga.scenarios import Scenario, gone, save
from tests.saga.snapshot import snapshot
from tests.saga.world import Place, World, until


async def boot_from_volume(world: World, place: Place) -> None:
    world.db.write_now(volumes.update, place.volume_id, None, {"bootable": True})
    device = {"source_type": "volume", "destination_type": "volume", "uuid": place.volume_id, "boot_index": 0}
    await world.active(place, imageRef="", block_device_mapping_v2=[device], user_data=None, config_drive=False)


def image_of(world: World, place: Place) -> Image | None:
    found = world.db.read_now(images.visible, place.project_id)
    return next((image for image in found if image.owner == place.project_id), None)


async def snapshots_of(world: World, place: Place, count: int) -> list[str]:
    """Ids; those that are to go do so in runs of their own."""

    def made() -> list[str]:
        return [one.id for one in world.db.read_now(snapshots.all_of, place.project_id)]

    await until(lambda: len(made()) == count, 30, lambda: f"{len(made())} snapshots")
    return made()


async def saved(world: World, place: Place, before: dict[str, Any]) -> None:
    """The image has no data, and describes a snapshot that has."""
    server = world.server(place)
    assert server is not None
    assert (server.status, server.task_state) == ("ACTIVE", None)
    assert await snapshot(world, place) == before | {"images": [("active", True)]}
    image = image_of(world, place)
    assert image is not None
    (kept,) = await snapshots_of(world, place, 1)
    (device,) = json.loads(image.properties[MAPPING])
    assert (image.size, device["snapshot_id"], device["boot_index"], device["volume_size"]) == (0, kept, 0, 1)
    assert world.db.read_now(snapshots.get, kept).status == "available"
    assert kept in world.volumes.volumes()
    await world.delete(place)
    await world.settled(place)


async def not_saved(world: World, place: Place, before: dict[str, Any]) -> None:
    await snapshots_of(world, place, 0)
    assert await snapshot(world, place) == before
    # It may be saved as if nothing had been.
    await save(world, place, status=202)
    await world.settled(place)
    await saved(world, place, before)


async def gone_but_for_its_image(world: World, place: Place, before: dict[str, Any]) -> None:
    """The image is whole, with its snapshot, or both are gone with the server."""
    left = (await snapshot(world, place))["images"]
    await snapshots_of(world, place, len(left))
    await gone(world, place, before | ({"images": [("active", True)]} if left else {}))


IMAGE = Scenario(
    name="image-on-volumes",
    workflow="CreateImage",
    steps=(
        "records.begin_verb",
        "conductor.get_volumes",
        "snapshots.reserve",
        "images.reserve",
        "snapshots.await_available",
        "images.activate",
        "records.end_verb",
    ),
    prepare=boot_from_volume,
    begin=save,
    done=saved,
    undone=not_saved,
    gone=gone_but_for_its_image,
    undoes=True,
    admission=frozenset({"records.begin_verb", "conductor.get_volumes", "snapshots.reserve", "images.reserve"}),
    forward_only=frozenset({"records.end_verb"}),
    local=frozenset({"records.begin_verb", "conductor.get_volumes", "records.end_verb"}),
    waits=frozenset({"snapshots.await_available"}),
)
SCENARIOS = (IMAGE,)
