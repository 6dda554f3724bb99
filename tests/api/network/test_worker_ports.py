"""What workers do to ports: make, bind, fence and undo, with one call a network interface."""

import uuid
from typing import Any

import pytest

from infra.domain.network import Nic
from tests.api.network.conftest import ALICE, Caller

SERVER = "5e54e400-0000-4000-8000-000000000001"
OTHER = "5e54e400-0000-4000-8000-000000000002"


@pytest.fixture
async def net(alice: Caller) -> dict[str, Any]:
    """Alice's network with one subnet, 10.0.0.0/28."""
    network = await alice.make("network", name="net")
    made = await alice.make(
        "subnet", network_id=network["id"], ip_version=4, cidr="10.0.0.0/28", dns_nameservers=["9.9.9.9"],
        host_routes=[{"destination": "10.9.0.0/16", "nexthop": "10.0.0.4"}],
    )  # fmt: skip
    return {"id": network["id"], "subnet": made["id"]}


def body(net: dict[str, Any], server: str = SERVER, host: str = "h1", **values: Any) -> dict[str, Any]:
    return {
        "port": {
            "id": str(uuid.uuid4()), "network_id": net["id"], "device_id": server, "device_owner": "compute:nova",
            "binding:host_id": host, **values,
        }
    }  # fmt: skip


async def owned(caller: Caller) -> list[Any]:
    return list((await caller("GET", "/ports?device_owner=&device_owner=compute:nova", status=200))["ports"])


async def test_one_call_makes_binds_and_describes_a_port(worker: Caller, net: dict[str, Any]) -> None:
    asked = body(net)
    made = await worker("POST", "/ports", asked, status=201, key=f"{SERVER}/1/port-0")
    port, nic = made["port"], Nic.model_validate(made["port"]["nic"])
    assert (port["id"], port["project_id"], port["status"]) == (asked["port"]["id"], ALICE, "DOWN")
    assert (port["binding:host_id"], port["binding:vif_type"], port["device_id"]) == ("h1", "bridge", SERVER)
    assert (nic.port_id, nic.network_id, nic.mac_address, nic.mtu) == (port["id"], net["id"], port["mac_address"], 1450)
    (address,) = nic.addresses
    assert address.model_dump() == {
        "ip_address": "10.0.0.3", "cidr": "10.0.0.0/28", "gateway_ip": "10.0.0.1", "dns_nameservers": ("9.9.9.9",),
        "host_routes": ({"destination": "10.9.0.0/16", "nexthop": "10.0.0.4"},), "enable_dhcp": True,
        "dhcp_ip": "10.0.0.2",
    }  # fmt: skip
    assert await worker("GET", f"/ports/{port['id']}/nic", status=200) == made["port"]["nic"]


async def test_a_repeat_finds_the_port_made_before(worker: Caller, net: dict[str, Any]) -> None:
    first = await worker("POST", "/ports", body(net), status=201, key=f"{SERVER}/1/port-0")
    assert await worker("POST", "/ports", body(net), status=201, key=f"{SERVER}/1/port-0") == first
    assert len(await owned(worker)) == 1
    await worker("POST", "/ports", {"ports": [body(net)["port"]]}, status=400, key=f"{SERVER}/1/port-1")


async def test_a_late_request_finds_its_attempt_closed(worker: Caller, net: dict[str, Any]) -> None:
    made = await worker("POST", "/ports", body(net), status=201, key=f"{SERVER}/1/port-0")
    for _ in range(2):
        await worker("DELETE", f"/ports/{made['port']['id']}", status=204, key=f"{SERVER}/1/port-0")
    late = await worker("POST", "/ports", body(net), status=409, key=f"{SERVER}/1/port-0")
    assert late["NeutronError"]["type"] == "AttemptClosed"
    await worker("DELETE", f"/ports/{uuid.uuid4()}", status=204, key=f"{SERVER}/2/port-0")
    await worker("POST", "/ports", body(net), status=409, key=f"{SERVER}/2/port-0")
    assert await owned(worker) == []
    await worker("POST", "/ports", body(net), status=201, key=f"{SERVER}/3/port-0")


async def test_a_late_undo_leaves_the_next_attempts_port(worker: Caller, net: dict[str, Any]) -> None:
    asked = body(net)
    path = f"/ports/{asked['port']['id']}"
    await worker("POST", "/ports", asked, status=201, key=f"{SERVER}/1/port")
    await worker("DELETE", path, status=204, key=f"{SERVER}/1/port")
    await worker("POST", "/ports", asked, status=201, key=f"{SERVER}/2/port")
    await worker("DELETE", path, status=204, key=f"{SERVER}/1/port")
    assert len(await owned(worker)) == 1
    await worker("DELETE", path, status=204, key=f"{SERVER}/2/port")
    assert await owned(worker) == []


async def test_a_refused_request_leaves_its_key_free(worker: Caller, net: dict[str, Any]) -> None:
    taken = body(net, fixed_ips=[{"ip_address": "10.0.0.2"}])
    await worker("POST", "/ports", taken, status=409, key=f"{SERVER}/1/port-0")
    await worker("POST", "/ports", body(net), status=201, key=f"{SERVER}/1/port-0")


async def test_a_users_port_is_bound_and_given_back(alice: Caller, worker: Caller, net: dict[str, Any]) -> None:
    port = await alice.make("port", network_id=net["id"], name="mine")
    path = f"/ports/{port['id']}"
    bind = {"port": {"device_id": SERVER, "device_owner": "compute:nova", "binding:host_id": "h1"}}
    for _ in range(2):
        bound = await worker("PUT", path, bind, status=200, key=f"{SERVER}/1/port-0")
    assert bound["port"]["nic"]["addresses"][0]["ip_address"] == "10.0.0.3"
    other = {"port": {**bind["port"], "device_id": OTHER}}
    refused = await worker("PUT", path, other, status=409, key=f"{OTHER}/1/port-0")
    assert refused["NeutronError"]["type"] == "PortInUse"
    active = await worker("PUT", path, {"port": {"status": "ACTIVE"}}, status=200)
    assert active["port"]["status"] == "ACTIVE"
    unbind = {"port": {"device_id": "", "device_owner": "", "binding:host_id": ""}}
    for _ in range(2):
        free = (await worker("PUT", path, unbind, status=200, key=f"{SERVER}/1/port-0"))["port"]
    assert (free["device_id"], free["binding:host_id"], free["status"], free["name"]) == ("", "", "DOWN", "mine")
    late = await worker("PUT", path, bind, status=409, key=f"{SERVER}/1/port-0")
    assert late["NeutronError"]["type"] == "AttemptClosed"
    await worker("PUT", path, other, status=200, key=f"{OTHER}/1/port-0")
    stray = await worker("PUT", path, unbind, status=200, key=f"{SERVER}/1/port-0")
    assert stray["port"]["device_id"] == OTHER


async def test_a_late_undo_leaves_the_next_attempts_binding(alice: Caller, worker: Caller, net: dict[str, Any]) -> None:
    path = f"/ports/{(await alice.make('port', network_id=net['id']))['id']}"
    bind = {"port": {"device_id": SERVER, "device_owner": "compute:nova", "binding:host_id": "h2"}}
    await worker("PUT", path, bind, status=200, key=f"{SERVER}/2/port-0")
    kept = await worker("PUT", path, {"port": {"device_id": ""}}, status=200, key=f"{SERVER}/1/port-0")
    assert kept["port"]["binding:host_id"] == "h2"
    freed = await worker("PUT", path, {"port": {"device_id": ""}}, status=200, key=f"{SERVER}/2/port-0")
    assert freed["port"]["binding:host_id"] == ""


async def test_a_bound_port_is_its_servers(alice: Caller, worker: Caller, net: dict[str, Any]) -> None:
    made = (await worker("POST", "/ports", body(net), status=201, key=f"{SERVER}/1/port-0"))["port"]
    path = f"/ports/{made['id']}"
    assert (await alice("DELETE", path, status=409))["NeutronError"]["type"] == "PortInUse"
    for change in ({"device_id": ""}, {"device_owner": "x"}, {"fixed_ips": []}, {"mac_address": "fa:16:3e:00:00:01"}):
        await alice("PUT", path, {"port": change}, status=409)
    await alice("PUT", path, {"port": {"name": "renamed"}}, status=200)
    assert "nic" not in (await alice("PUT", path, {"port": {"name": "renamed"}}, status=200))["port"]


async def test_a_worker_has_no_more_networks_than_its_user(bob: Caller, worker: Caller, net: dict[str, Any]) -> None:
    theirs = await bob.make("network")
    await worker("POST", "/ports", body({"id": theirs["id"]}), status=404, key=f"{SERVER}/1/port-0")
    await worker("POST", "/ports", body({"id": "none"}), status=404, key=f"{SERVER}/1/port-0")


async def test_only_services_may(alice: Caller, admin: Caller, net: dict[str, Any]) -> None:
    port = await alice.make("port", network_id=net["id"])
    await alice("GET", f"/ports/{port['id']}/nic", status=403)
    await admin("GET", f"/ports/{port['id']}/nic", status=403)
    await alice("PUT", f"/ports/{port['id']}", {"port": {"status": "ACTIVE"}}, status=403)
    first = await alice("POST", "/ports", {"port": {"network_id": net["id"]}}, status=201, key=f"{SERVER}/1/port-0")
    second = await alice("POST", "/ports", {"port": {"network_id": net["id"]}}, status=201, key=f"{SERVER}/1/port-0")
    assert first["port"]["id"] != second["port"]["id"]
