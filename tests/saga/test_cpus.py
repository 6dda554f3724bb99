"""A server with CPUs to itself: claimed, told to its host, bound in its guest, and given back."""

from infra.db import claims, flavors, hosts
from infra.domain.flavor import Flavor
from tests.saga.snapshot import snapshot
from tests.saga.world import World

PINNED = Flavor(id="pinned", name="pinned", vcpus=2, ram_mb=128, disk_gb=1, extra_specs={"hw:cpu_policy": "dedicated"})


async def test_a_server_gets_cpus_to_itself_and_gives_them_back(cloud: World) -> None:
    cloud.db.write_now(flavors.create, PINNED)
    host = await cloud.add_host("with-cpus", pcpus=2)
    cloud.start_host("with-cpus")
    place, other = await cloud.place(), await cloud.place()
    before = await snapshot(cloud, place)
    server = await cloud.active(place, flavorRef=PINNED.id)
    assert server.host == "with-cpus"
    own = host.driver.guest(server.id).numa
    assert [cell.cpus for cell in own] == [((64,), (65,))]
    assert cloud.db.read_now(claims.of_server, server.id)[0].numa == own
    await cloud.boot(other, flavorRef=PINNED.id)
    await cloud.settled(other)
    refused = cloud.server(other)
    assert refused is not None
    assert refused.fault is not None
    assert "short of PCPU" in refused.fault.message
    told = await cloud.call(place, "GET", f"/compute/v2.1/servers/{server.id}/placement-explanation", status=200)
    assert [attempt["placed"] for attempt in told.json()["placement_explanation"]["attempts"]] == [True]
    await cloud.delete(place)
    await cloud.settled(place)
    assert await snapshot(cloud, place) == before
    left = cloud.db.read_now(hosts.get, "with-cpus")
    assert (left.pcpus_claimed, left.numa_used) == (0, ())
    await host.stop()
    cloud.db.write_now(hosts.set_ready, "with-cpus", False)
