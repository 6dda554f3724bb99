"""A user's change of the network reaches the hosts that it concerns, whoever is killed in between."""

from typing import Any

from infra.db import host_networks
from tests.saga.world import FakeHost, Place, World, until


async def _open_port(world: World, place: Place, port: int) -> None:
    groups = await world.call(place, "GET", "/network/v2.0/security-groups?name=default", status=200)
    rule = {
        "security_group_id": groups.json()["security_groups"][0]["id"],
        "direction": "ingress",
        "protocol": "tcp",
        "port_range_min": port,
        "port_range_max": port,
    }
    body = {"security_group_rule": rule}
    await world.call(place, "POST", "/network/v2.0/security-group-rules", body, status=201)


def _opened(host: FakeHost, place: Place, port: int) -> bool:
    known: Any = host.network.known.view()
    groups = [group for it in known.ports if it.id in _ports(host, place) for group in it.groups]
    return any(rule.first == port for group in groups for rule in known.rules[group])


def _ports(host: FakeHost, place: Place) -> list[str]:
    return host.network.plugged()[place.server_id]


async def test_a_rule_reaches_the_host_of_a_server(cloud: World) -> None:
    place = await cloud.place()
    host = cloud.hosts[str((await cloud.active(place)).host)]
    assert host.network.knows(_ports(host, place)[0]), "the boot has told its host"
    await _open_port(cloud, place, 22)
    await until(lambda: _opened(host, place, 22), 10, lambda: "the host was not told")
    await cloud.delete(place)
    await cloud.settled(place)


async def test_what_nobody_told_is_read_with_the_next_report(cloud: World, monkeypatch: Any) -> None:
    """As after an API that was killed between the change and the word."""
    place = await cloud.place()
    host = cloud.hosts[str((await cloud.active(place)).host)]
    pokes = cloud.services.pokes
    monkeypatch.setattr(pokes, "poke", lambda *_: None)
    # What servers that came and went have left to tell.
    await until(lambda: not pokes._waiting and not pokes._running, 30, lambda: "hosts are still to be told")
    if (told := f"host/{host.settings.name}/network") in cloud.faults.begun:
        await cloud.handle(told).result()
    await _open_port(cloud, place, 23)
    assert not _opened(host, place, 23)
    await host.host.upkeep.report()
    assert _opened(host, place, 23)
    await cloud.delete(place)
    await cloud.settled(place)


async def test_a_server_that_moves_is_known_where_it_goes_before_it_is_plugged(cloud: World) -> None:
    place = await cloud.administrated(await cloud.place())
    before = str((await cloud.active(place)).host)
    await cloud.act(place, "migrate")
    await cloud.settled(place)
    after = cloud.hosts[str(getattr(cloud.server(place), "host", None))]
    assert after.settings.name != before
    (port_id,) = _ports(after, place)
    wanted = cloud.db.read_now(host_networks.of_port, after.settings.name, port_id)
    assert after.network.known.port(port_id) == wanted.ports[0]
    await cloud.delete(place)
    await cloud.settled(place)
