"""Backups and their rotation, and what is left where a run or a host did not do its part."""

from typing import Any

import pytest

from infra.db import images
from tests.saga import faults
from tests.saga.scenarios import IMAGE, lose, repair, save
from tests.saga.snapshot import snapshot
from tests.saga.world import Place, World


async def back_up(world: World, place: Place, name: str, rotation: int, kind: str = "daily") -> str | None:
    argument = {"name": name, "backup_type": kind, "rotation": rotation}
    reply = await world.act(place, "createBackup", argument=argument)
    await world.settled(place)
    return reply.json()["image_id"] if reply.content else None


def names(world: World, place: Place) -> list[str | None]:
    found = world.db.read_now(images.visible, place.project_id)
    return sorted(image.name or "" for image in found if image.owner == place.project_id and image.status == "active")


async def message(world: World, place: Place, action: str) -> Any:
    path = f"/compute/v2.1/servers/{place.server_id}/os-instance-actions"
    found = (await world.call(place, "GET", path, status=200)).json()["instanceActions"]
    return next(one["message"] for one in found if one["action"] == action)


async def test_backups_of_a_type_take_the_place_of_the_oldest(cloud: World) -> None:
    place = await cloud.place()
    await cloud.active(place)
    before = await snapshot(cloud, place)
    await back_up(cloud, place, "other", 1, kind="weekly")
    for name in ("first", "second", "third"):
        image_id = await back_up(cloud, place, name, 2)
    assert names(cloud, place) == ["other", "second", "third"]
    image = cloud.db.read_now(images.get, image_id, place.project_id)
    assert {"image_type": "backup", "backup_type": "daily", "instance_uuid": place.server_id}.items() <= (
        image.properties.items()
    )
    assert await back_up(cloud, place, "none", 0) is None
    assert names(cloud, place) == ["other"]
    assert await snapshot(cloud, place) == before | {"images": [("active", True)], "image data": 1}


async def test_a_backup_stays_where_an_older_one_can_not_be_removed(cloud: World) -> None:
    place = await cloud.place()
    await cloud.active(place)
    await back_up(cloud, place, "first", 1)
    cloud.faults.add(place.workflow_id, "CreateImage", "images.remove", faults.breaks_before())
    await back_up(cloud, place, "second", 1)
    assert names(cloud, place) == ["first", "second"]
    assert await message(cloud, place, "createBackup") == "Error"
    assert (await snapshot(cloud, place))["tasks"] == []
    cloud.faults.forget(place.workflow_id)
    await back_up(cloud, place, "third", 1)
    assert names(cloud, place) == ["third"]


async def test_a_copy_that_its_host_did_not_remove_goes_when_that_is_compared(cloud: World) -> None:
    place = await cloud.place()
    server = await cloud.active(place)
    before = await snapshot(cloud, place)
    cloud.faults.add(place.workflow_id, "CreateImage", "hypervisor.drop_copy", faults.breaks_before())
    await save(cloud, place, status=202)
    await cloud.settled(place)
    assert names(cloud, place) == ["copy"]
    left = (await snapshot(cloud, place))[str(server.host)]["files"]
    assert [name for name in left if name.startswith("copy.")] != []
    tidied = await cloud.hosts[str(server.host)].host.upkeep.tidy()
    assert any("copy" in sentence and place.server_id in sentence for sentence in tidied.done)
    assert await snapshot(cloud, place) == before | {"images": [("active", True)], "image data": 1}


@pytest.mark.parametrize("step", ["hypervisor.copy_disk", "images.upload"])
async def test_an_image_whose_run_is_lost_goes_with_it_unless_it_is_whole(cloud: World, step: str) -> None:
    place = await cloud.place()
    server = await cloud.active(place)
    before = await snapshot(cloud, place)
    await lose(cloud, place.workflow_id, IMAGE.workflow, step, lambda: save(cloud, place))
    await repair(cloud, place)
    await cloud.settled(place)
    # While the run might have gone on, its copy was kept.
    await cloud.hosts[str(server.host)].host.upkeep.tidy()
    whole = {"images": [("active", True)], "image data": 1} if step == "images.upload" else {}
    assert await snapshot(cloud, place) == before | whole
    assert await message(cloud, place, "createImage") == "Error"
