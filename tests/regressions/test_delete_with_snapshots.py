"""A server was to take a volume with it of which there was a snapshot: its delete was tried for ever."""

from tests.saga import snapshots
from tests.saga.conftest import cloud, quick_policies, temporal
from tests.saga.scenarios import nothing_left
from tests.saga.world import World, boot_body

__all__ = ["cloud", "quick_policies", "temporal"]


async def test_a_volume_with_a_snapshot_stays_when_its_server_goes(cloud: World) -> None:
    place = await cloud.place()
    devices = boot_body(place)["block_device_mapping_v2"]
    devices[1]["delete_on_termination"] = True
    await cloud.active(place, block_device_mapping_v2=devices)
    await snapshots.take(cloud, place)
    await cloud.settled(place)
    await cloud.delete(place)
    await cloud.settled(place, 30)
    await nothing_left(cloud, place)
