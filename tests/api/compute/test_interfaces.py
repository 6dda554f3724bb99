"""``/servers/{id}/os-interface``: what is refused before anything is started, and what each microversion knows."""

import uuid
from typing import Any

import pytest

from api import start_interfaces
from api.auth import Context
from api.deps import Services
from infra.db import networks, port_bindings, ports, servers
from infra.db.engine import Database
from infra.db.interfaces import InterfaceWish
from infra.db.tables.servers import ServerRow
from infra.domain.network import NetworkQuota, NewPort
from infra.domain.server import Server
from tests.api.compute.conftest import ALICE, BOB, NETWORK, World


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was started. A port is made and bound as its run would have it made."""
    found: list[Any] = []

    async def attach(services: Services, context: Context, server: Server, wish: InterfaceWish) -> str:
        found.append(wish)
        port_id = wish.port_id or str(uuid.uuid4())
        if wish.port_id is None:
            port(services.db, port_id, server.project_id)
        bound = {"device_id": server.id, "host": "h1"}
        services.db.write_now(port_bindings.update, port_id, bound, f"{server.id}/1/port/{port_id}")
        return port_id

    async def detach(services: Services, context: Context, server: Server, port_id: str) -> None:
        found.append(port_id)

    monkeypatch.setattr(start_interfaces, "attach", attach)
    monkeypatch.setattr(start_interfaces, "detach", detach)
    return found


def port(db: Database, port_id: str, project_id: str = ALICE) -> str:
    db.write_now(ports.create, NewPort(id=port_id, project_id=project_id, network_id=NETWORK), NetworkQuota())
    return port_id


async def active(world: World, **values: Any) -> str:
    server_id = await world.boot()

    def work(session: Any) -> None:
        row = session.get(ServerRow, server_id)
        servers.write_row(session, row, **{"vm_state": "active", "task_state": None, "op": None, "host": "h1"} | values)

    world.db.write_now(work)
    return server_id


async def test_interfaces_come_and_go(world: World, asked: list[Any]) -> None:
    server_id = await active(world)
    path = f"/v2.1/servers/{server_id}/os-interface"
    own = port(world.db, str(uuid.uuid4()))
    for body in ({}, {"interfaceAttachment": {}}, {"interfaceAttachment": {"net_id": NETWORK}}):
        made = (await world.call("POST", path, body, status=200)).json()["interfaceAttachment"]
        assert set(made) == {"port_id", "net_id", "mac_addr", "port_state", "fixed_ips"}
    fixed = {"net_id": NETWORK, "fixed_ips": [{"ip_address": "10.1.0.99"}], "tag": "data"}
    made = (await world.call("POST", path, {"interfaceAttachment": fixed}, version="2.70", status=200)).json()
    assert "tag" in made["interfaceAttachment"]
    made = (await world.call("POST", path, {"interfaceAttachment": {"port_id": own}}, status=200)).json()
    assert made["interfaceAttachment"]["port_id"] == own
    assert asked[3:] == [
        InterfaceWish(network_id=NETWORK, fixed_ip="10.1.0.99", tag="data"),
        InterfaceWish(port_id=own),
    ]
    assert (await world.call("DELETE", f"{path}/{own}", status=202)).content == b""
    assert asked[-1] == own


@pytest.mark.parametrize(
    ("body", "version", "status"),
    [
        (None, None, 400),
        ([], None, 400),
        ({"interfaceAttachment": None}, None, 400),
        ({"interfaceAttachment": {}, "more": 1}, None, 400),
        ({"interfaceAttachment": {"net_id": "x"}}, None, 400),
        ({"interfaceAttachment": {"port_id": 1}}, None, 400),
        ({"interfaceAttachment": {"net_id": NETWORK, "port_id": str(uuid.uuid4())}}, None, 400),
        ({"interfaceAttachment": {"fixed_ips": [{"ip_address": "10.1.0.9"}]}}, None, 400),
        ({"interfaceAttachment": {"net_id": NETWORK, "fixed_ips": []}}, None, 400),
        ({"interfaceAttachment": {"net_id": NETWORK, "fixed_ips": [{"ip_address": "x"}]}}, None, 400),
        ({"interfaceAttachment": {"net_id": NETWORK, "fixed_ips": [{"ip_address": "10.9.0.9"}]}}, None, 400),
        ({"interfaceAttachment": {"net_id": NETWORK, "tag": "x"}}, "2.48", 400),
        ({"interfaceAttachment": {"net_id": NETWORK, "tag": "a/b"}}, "2.49", 400),
        ({"interfaceAttachment": {"net_id": str(uuid.uuid4())}}, None, 404),
        ({"interfaceAttachment": {"port_id": str(uuid.uuid4())}}, None, 404),
    ],
)
async def test_bad_requests_start_nothing(
    lite: World, asked: list[Any], body: Any, version: str | None, status: int
) -> None:
    path = f"/v2.1/servers/{await active(lite)}/os-interface"
    await lite.call("POST", path, body, version=version, status=status)
    assert asked == []


async def test_states_ports_and_networks_that_will_not_do(lite: World, asked: list[Any]) -> None:
    server_id = await active(lite)
    path = f"/v2.1/servers/{server_id}/os-interface"
    used, foreign = port(lite.db, str(uuid.uuid4())), port(lite.db, str(uuid.uuid4()), BOB)
    lite.db.write_now(ports.update, used, {"device_id": "something"})
    await lite.call("POST", path, {"interfaceAttachment": {"port_id": used}}, status=409)
    await lite.call("POST", path, {"interfaceAttachment": {"port_id": foreign}}, status=404)
    await lite.call("POST", path, {"interfaceAttachment": {"port_id": foreign}}, by="bob", status=404)
    await lite.call("POST", path, {}, by="reader", status=403)
    await lite.call("DELETE", f"{path}/{used}", status=404)
    for state in ({"vm_state": "suspended"}, {"vm_state": "error"}, {"task_state": "rebooting"}):
        other = await active(lite, **state)
        await lite.call("POST", f"/v2.1/servers/{other}/os-interface", {}, status=409)
    lite.db.write_now(lambda session: networks.create(session, _another(session), NetworkQuota()))
    reply = await lite.call("POST", path, {}, status=400)
    assert reply.json()["badRequest"]["message"].startswith("Multiple possible networks found, use a Network ID")
    assert asked == []


def _another(session: Any) -> Any:
    return networks.get_bare(session, NETWORK).model_copy(update={"id": str(uuid.uuid4()), "vni": 0})
