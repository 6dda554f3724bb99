"""Hosts hear of changes that concern them; the caller does not wait for that."""

import asyncio
from typing import Any

from api.pokes import Pokes
from infra.domain.host_network import HostNetwork
from tests.api.network.conftest import Caller, Told
from tests.api.network.test_worker_ports import SERVER, body, net

__all__ = ["net"]


async def turns() -> None:
    """What was begun beside a request is done."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_worker_learns_with_its_port_who_may_reach_it(worker: Caller, net: dict[str, Any], told: Told) -> None:
    made = (await worker("POST", "/ports", body(net), status=201, key=f"{SERVER}/1/port-0"))["port"]
    known = HostNetwork.model_validate(made["host_network"])
    (group,) = made["security_groups"]
    assert [(port.id, port.groups) for port in known.ports] == [(made["id"], (group,))]
    assert {(rule.direction, rule.group) for rule in known.rules[group]} == {("egress", None), ("ingress", group)}
    assert known.members == {group: (made["fixed_ips"][0]["ip_address"],)}
    await turns()
    assert told.ids == [], "its own host is not told"
    unbound = {"port": {"device_id": "", "device_owner": "", "binding:host_id": ""}}
    assert "host_network" not in (await worker("PUT", f"/ports/{made['id']}", unbound, status=200))["port"]


async def test_a_user_sees_nothing_of_it(alice: Caller, net: dict[str, Any]) -> None:
    made = await alice.make("port", network_id=net["id"])
    assert {"nic", "host_network"} & made.keys() == set()


async def test_hosts_are_told_once_of_what_concerns_them(
    worker: Caller, alice: Caller, net: dict[str, Any], told: Told
) -> None:
    """A second server of the group; then two rules together, and a rule that is refused."""
    made = (await worker("POST", "/ports", body(net), status=201, key=f"{SERVER}/1/port-0"))["port"]
    await worker("POST", "/ports", body(net, host="h2"), status=201, key=f"{SERVER}/1/port-1")
    await turns()
    assert told.ids == ["host/h1/network"]
    told.ids.clear()
    (group,) = made["security_groups"]
    rules = [
        {
            "security_group_id": group,
            "direction": "ingress",
            "protocol": "tcp",
            "port_range_min": n,
            "port_range_max": n,
        }
        for n in (22, 80)
    ]
    await alice("POST", "/security-group-rules", {"security_group_rules": rules}, status=201)
    await turns()
    assert told.ids == ["host/h2/network"], "h1 was told just now, and is told again in a moment"
    told.ids.clear()
    await alice("POST", "/security-group-rules", {"security_group_rule": rules[0]}, status=409)
    await turns()
    assert told.ids == []


async def test_many_pokes_are_one(told: Told) -> None:
    pokes = Pokes()
    client: Any = told
    for _ in range(100):
        pokes.poke(client, ["a", "b"], 3600)
    await turns()
    assert told.ids == ["host/a/network", "host/b/network"]
    pokes.poke(client, ["a"], 3600)
    await turns()
    assert len(told.ids) == 2
    # Who can't wait so long goes first.
    pokes.poke(client, ["a"], 0)
    await turns()
    assert told.ids[2:] == ["host/a/network"]
