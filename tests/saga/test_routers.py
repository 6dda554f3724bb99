"""A router and its floating IPs reach the host that has them, and end there, whoever is killed in between."""

from typing import Any

from tests.saga.world import FakeHost, Place, World, until


async def _make(world: World, place: Place, kind: str, **values: Any) -> dict[str, Any]:
    made: dict[str, Any] = (
        await world.call(place, "POST", f"/network/v2.0/{kind}s", {kind: values}, status=201)
    ).json()[kind]
    return made


def _floating(host: FakeHost) -> list[tuple[str, str]]:
    return [(pair.outside, pair.inside) for router in host.network.routers for pair in router.floating]


def _routing(world: World, router_id: str) -> list[FakeHost]:
    return [host for host in world.hosts.values() if router_id in {it.id for it in host.network.routers}]


async def test_a_floating_ip_reaches_the_host_of_its_router(cloud: World, monkeypatch: Any) -> None:
    place = await cloud.place()
    admin = await cloud.administrated(place)
    await cloud.active(place)
    outside = (await _make(cloud, admin, "network", **{"router:external": True}))["id"]
    await _make(cloud, admin, "subnet", network_id=outside, ip_version=4, cidr="203.0.113.0/24", enable_dhcp=False)
    router = (await _make(cloud, place, "router", external_gateway_info={"network_id": outside}))["id"]
    ports = (await cloud.call(place, "GET", f"/network/v2.0/ports?device_id={place.server_id}")).json()["ports"]
    (fixed,) = ports[0]["fixed_ips"]
    path = f"/network/v2.0/routers/{router}"
    named = {"subnet_id": fixed["subnet_id"]}
    await cloud.call(admin, "PUT", f"{path}/add_router_interface", named, status=200)
    wanted = {"floating_network_id": outside, "port_id": ports[0]["id"]}
    held = await _make(cloud, place, "floatingip", **wanted)
    pair = (held["floating_ip_address"], fixed["ip_address"])
    await until(
        lambda: [_floating(host) for host in _routing(cloud, router)] == [[pair]], 10, lambda: "no host was told"
    )
    (host,) = _routing(cloud, router)
    await cloud.delete(place)
    await cloud.settled(place)
    await until(lambda: _floating(host) == [], 10, lambda: "the host was not told that the server is gone")
    # As after an API that was killed between the change and the word.
    monkeypatch.setattr(cloud.services.pokes, "poke", lambda *_: None)
    await cloud.call(place, "DELETE", f"/network/v2.0/floatingips/{held['id']}", status=204)
    await cloud.call(admin, "PUT", f"{path}/remove_router_interface", named, status=200)
    await cloud.call(place, "DELETE", path, status=204)
    assert _routing(cloud, router) == [host]
    await host.host.upkeep.report()
    assert _routing(cloud, router) == []
    await cloud.call(admin, "DELETE", f"/network/v2.0/networks/{outside}", status=204)
