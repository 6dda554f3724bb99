"""Several servers by one request, the data of volumes, and the console."""

from collections.abc import Callable

import pytest

from infra.db import servers, volumes
from tests.saga import faults
from tests.saga.faults import Act
from tests.saga.scenarios import undefined
from tests.saga.snapshot import snapshot
from tests.saga.world import Place, World, until

MODES: dict[str, Callable[[], Act]] = {
    "fails before": faults.fails_before,
    "fails after": faults.fails_after,
    "twice": faults.twice,
}


async def test_several_servers_by_one_request(cloud: World) -> None:
    place = await cloud.place()
    before = await snapshot(cloud, place)
    await cloud.boot(place, block_device_mapping_v2=[], min_count=3, max_count=3)

    def rows() -> list[servers.Server]:
        return cloud.db.read_now(servers.list_servers, project_id=place.project_id)

    assert sorted(server.name for server in rows()) == ["web-1", "web-2", "web-3"]
    await until(lambda: all(server.status == "ACTIVE" for server in rows()), 60, lambda: str(rows()))
    for server in rows():
        await cloud.call(place, "DELETE", f"/compute/v2.1/servers/{server.id}", status=204)
    await until(lambda: rows() == [], 60, lambda: str(rows()))
    await cloud.settled(place)
    assert await snapshot(cloud, place) == before


async def test_several_servers_are_admitted_all_or_none(cloud: World) -> None:
    place = await cloud.place()
    before = await snapshot(cloud, place)
    reply = await cloud.boot(place, status=None, block_device_mapping_v2=[], min_count=11, max_count=11)
    assert reply.status_code == 403
    assert await snapshot(cloud, place) == before
    assert cloud.db.read_now(servers.list_servers, project_id=place.project_id) == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("step", ["volume_data.pending", "volume_data.carry_out", "volume_data.settle"])
async def test_volumes_get_and_lose_their_data(cloud: World, step: str, mode: str) -> None:
    place = await cloud.place()
    path = f"/volume/v3/{place.project_id}/volumes"
    made = (await cloud.call(place, "POST", path, {"volume": {"size": 1}}, status=202)).json()["volume"]["id"]
    await until(lambda: _status(cloud, place, made) == "available", 30, lambda: "not available")
    rule = cloud.faults.add(f"volume/{made}", "VolumeWork", step, MODES[mode]())
    await cloud.call(place, "DELETE", f"{path}/{made}", status=202)
    await until(lambda: _status(cloud, place, made) is None, 30, lambda: "not gone")
    assert rule.calls > 0
    assert made not in cloud.volumes.volumes()


def _status(cloud: World, place: Place, volume_id: str) -> str | None:
    found = {volume.id: volume.status for volume in cloud.db.read_now(volumes.all_of, place.project_id)}
    return found.get(volume_id)


async def test_the_console_is_read_on_its_host(cloud: World) -> None:
    place = await cloud.place()
    server = await cloud.active(place)
    log = cloud.hosts[str(server.host)].directory / "instances" / place.server_id / "console.log"
    log.write_text("one\ntwo\n")
    reply = await cloud.act(place, "os-getConsoleOutput", argument={"length": 1}, status=200)
    assert reply.json() == {"output": "two\n"}
    await cloud.delete(place)
    await cloud.settled(place)


async def test_a_guest_that_somebody_undefined_is_made_anew_by_a_hard_reboot(cloud: World) -> None:
    place = await cloud.place()
    host = str((await cloud.active(place)).host)
    driver = cloud.hosts[host].driver
    guest, before = driver.guest(place.server_id), await snapshot(cloud, place)
    driver.destroy(place.server_id)
    await cloud.act(place, "reboot", argument={"type": "HARD"})
    await cloud.settled(place)
    assert driver.guest(place.server_id) == guest
    assert await snapshot(cloud, place) == before
    await cloud.delete(place)
    await cloud.settled(place)


async def test_a_server_whose_disk_is_gone_too_is_in_error(cloud: World) -> None:
    place = await cloud.place()
    await undefined(cloud, place)
    host = cloud.hosts[str(getattr(cloud.server(place), "host", None))]
    disk = host.directory / "instances" / place.server_id / "disk.1"
    kept = disk.rename(host.directory / "kept")
    await cloud.act(place, "os-start")
    await cloud.settled(place)
    path = f"/compute/v2.1/servers/{place.server_id}"
    shown = (await cloud.call(place, "GET", path, status=200)).json()["server"]
    assert (shown["status"], shown["fault"]["code"]) == ("ERROR", 500)
    assert shown["fault"]["message"] == f"The disk of instance {place.server_id} is not on its host any more."
    assert host.driver.state(place.server_id) is None
    # Somebody brings it back.
    kept.rename(disk)
    await cloud.act(place, "reboot", argument={"type": "HARD"})
    await cloud.settled(place)
    assert getattr(cloud.server(place), "status", None) == "ACTIVE"
    await cloud.delete(place)
    await cloud.settled(place)
