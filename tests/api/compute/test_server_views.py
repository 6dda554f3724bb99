"""What each microversion shows of a server: closed schemas, kept in ``schemas/server.json`` field by field."""

import hashlib
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from sqlmodel import Session

from infra.db import (
    floating_ips,
    hosts,
    networks,
    port_bindings,
    ports,
    router_interfaces,
    routers,
    servers,
    subnets,
)
from infra.db.tables.volume import AttachmentRow
from infra.domain.host import HostReport, Inventory
from infra.domain.network import AllocationPool, Network, NetworkQuota, NewPort, Subnet
from infra.domain.router import FloatingIp, GatewayWish, Router
from infra.domain.server import Fault
from tests.api.compute.conftest import ADMIN, ALICE, IMAGE, NETWORK, SUBNET, World

KNOWN = json.loads((Path(__file__).parent / "schemas" / "server.json").read_text())
VERSIONS = [1, 2, 3, 8, 9, 16, 19, 26, 36, 37, 46, 47, 62, 63, 70, 71, 73, 75, 89, 90, 95, 96]
WHOLE = 75
"""From here on a PUT answers with everything that a GET shows."""
HOST = HostReport(
    name="h1",
    inventory=Inventory(vcpus=8, memory_mb=8192, disk_gb=100),
    hypervisor_type="fake",
    hypervisor_version=7002000,
    accelerator="none",
)


def closed(version: int, kind: str, *, admin: bool) -> dict[str, Any]:
    """The schema of a server in a ``show``, ``list`` or ``put`` at 2.``version``."""
    properties: dict[str, Any] = {"flavor": KNOWN["flavor"]["47" if version >= 47 else "1"]}
    required = ["flavor"]
    never = 10_000
    for name, field in KNOWN["fields"].items():
        since = field.get("since", never)
        if admin:
            since = min(since, field.get("admin_since", never))
        if kind == "put":
            since = max(since, field.get("put_since", 0))
        if version < since or (kind == "list" and field.get("not_in_lists")):
            continue
        properties[name] = field["is"]
        if not field.get("optional"):
            required.append(name)
    if kind == "put" and version < WHOLE:
        properties["addresses"] = KNOWN["bare_addresses"]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def activate(session: Session, server_id: str, port_id: str) -> None:
    """As the end of a boot leaves it: on a host, with a port and a volume."""
    op = servers.get(session, server_id).op or ""
    if not hosts.snapshot(session):
        hosts.enrol(session, HOST)
    servers.place(session, server_id, op, "h1", 1, "nova")
    port = NewPort(id=port_id, project_id=ALICE, network_id=NETWORK, device_id=server_id, device_owner="compute:nova")
    port_bindings.create(session, port, f"{server_id}/1/port", NetworkQuota())
    session.add(
        AttachmentRow(
            id=str(uuid.uuid4()),
            volume_id="v1",
            server_id=server_id,
            host="h1",
            device="/dev/vdb",
            status="attached",
            attached_at=datetime.now(UTC),
        )
    )
    servers.set_active(session, server_id, op, 1)


def lead_to(session: Session, server_id: str) -> str:
    """Reach the server's port from outside; returns the address."""
    time = datetime.now(UTC)
    stamp: dict[str, Any] = {"created_at": time, "updated_at": time}
    outside = Network(id=str(uuid.uuid4()), project_id=ADMIN, name="public", external=True, vni=0, **stamp)
    networks.create(session, outside, NetworkQuota())
    pool = AllocationPool(start="203.0.113.2", end="203.0.113.9")
    subnet = Subnet(
        id=str(uuid.uuid4()), project_id=ADMIN, network_id=outside.id, cidr="203.0.113.0/24", enable_dhcp=False,
        gateway_ip="203.0.113.1", allocation_pools=(pool,), **stamp,
    )  # fmt: skip
    subnets.create(session, subnet, NetworkQuota())
    router = Router(id=str(uuid.uuid4()), project_id=ALICE, **stamp)
    routers.create(session, router, GatewayWish(network_id=outside.id), NetworkQuota())
    router_interfaces.add_by_subnet(session, routers.row_of(session, router.id), SUBNET, NetworkQuota())
    (port,) = ports.of_devices(session, [server_id])[server_id]
    wanted = FloatingIp(
        id=str(uuid.uuid4()), project_id=ALICE, floating_network_id=outside.id, floating_ip_address="",
        port_id=port.id, **stamp,
    )  # fmt: skip
    return floating_ips.create(session, wanted, NetworkQuota()).floating_ip_address


async def active_server(world: World, **fields: Any) -> str:
    server_id = await world.boot(**fields)
    world.db.write_now(activate, server_id, str(uuid.uuid4()))
    return server_id


async def test_every_version_shows_its_fields_and_no_others(lite: World) -> None:
    server_id = await active_server(lite)
    for version in VERSIONS:
        for by in ("alice", "admin"):
            how: dict[str, Any] = {"by": by, "version": f"2.{version}"}
            admin = by == "admin"
            shown = (await lite.get(f"/servers/{server_id}", **how))["server"]
            jsonschema.validate(shown, closed(version, "show", admin=admin))
            listed = (await lite.get("/servers/detail?all_tenants=1" if admin else "/servers/detail", **how))["servers"]
            jsonschema.validate(listed[0], closed(version, "list", admin=admin))
            body = {"server": {"name": "web"}}
            changed = (await lite.call("PUT", f"/v2.1/servers/{server_id}", body, status=200, **how)).json()["server"]
            jsonschema.validate(changed, closed(version, "put", admin=admin))


async def test_a_floating_ip_stands_behind_its_fixed_address(lite: World) -> None:
    server_id = await active_server(lite)
    address = lite.db.write_now(lead_to, server_id)
    fixed, floating = (await lite.get(f"/servers/{server_id}"))["server"]["addresses"]["private"]
    assert (fixed["OS-EXT-IPS:type"], floating["OS-EXT-IPS:type"]) == ("fixed", "floating")
    assert floating == fixed | {"addr": address, "OS-EXT-IPS:type": "floating"}
    ips = await lite.get(f"/servers/{server_id}/ips/private")
    assert [it["addr"] for it in ips["private"]] == [fixed["addr"], address]


async def test_an_active_server_as_a_client_sees_it(world: World) -> None:
    server_id = await active_server(world)
    shown = (await world.get(f"/servers/{server_id}"))["server"]
    assert (shown["status"], shown["progress"]) == ("ACTIVE", 100)
    assert shown["image"]["id"] == IMAGE
    assert shown["flavor"]["id"] == "1"
    assert shown["hostId"] == hashlib.sha224(f"{ALICE}h1".encode()).hexdigest()
    assert shown["OS-EXT-AZ:availability_zone"] == "nova"
    assert shown["OS-EXT-STS:task_state"] is None
    assert shown["security_groups"] == [{"name": "default"}]
    assert shown["os-extended-volumes:volumes_attached"] == [{"id": "v1"}]
    (address,) = shown["addresses"]["private"]
    assert address["addr"].startswith("10.1.0.")
    ips = await world.get(f"/servers/{server_id}/ips")
    assert ips == {"addresses": {"private": [{"version": 4, "addr": address["addr"]}]}}
    assert await world.get(f"/servers/{server_id}/ips/private") == ips["addresses"]
    await world.call("GET", f"/v2.1/servers/{server_id}/ips/other", status=404)
    (plugged,) = (await world.get(f"/servers/{server_id}/os-interface"))["interfaceAttachments"]
    assert plugged["net_id"] == NETWORK
    assert plugged["mac_addr"] == address["OS-EXT-IPS-MAC:mac_addr"]
    assert set(plugged) == {"port_state", "fixed_ips", "port_id", "net_id", "mac_addr"}
    one = await world.get(f"/servers/{server_id}/os-interface/{plugged['port_id']}", version="2.70")
    assert one["interfaceAttachment"] == plugged | {"tag": None}
    (group,) = (await world.get(f"/servers/{server_id}/os-security-groups"))["security_groups"]
    assert (group["name"], group["tenant_id"]) == ("default", ALICE)


async def test_the_fault_of_a_failed_boot_is_shown_with_its_server(world: World) -> None:
    server_id = await world.boot()
    fault = Fault(code=500, message="No valid host", created=datetime.now(UTC), details="3 hosts: too little memory")
    op = world.db.read_now(servers.get, server_id).op or ""
    world.db.write_now(servers.set_error, server_id, op, fault, None)
    shown = (await world.get(f"/servers/{server_id}"))["server"]
    assert (shown["status"], shown["hostId"]) == ("ERROR", "")
    assert {k: shown["fault"][k] for k in ("code", "message", "details")} == {
        "code": 500,
        "message": "No valid host",
        "details": "3 hosts: too little memory",
    }


async def test_user_data_is_shown_to_nobody(world: World) -> None:
    server_id = await world.boot(user_data="c2VjcmV0")
    reply = await world.call("GET", f"/v2.1/servers/{server_id}", by="admin", version="2.96", status=200)
    assert "c2VjcmV0" not in reply.text


async def test_another_projects_server_is_not_there(world: World) -> None:
    server_id = await world.boot()
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/ips"),
        ("GET", "/metadata"),
        ("GET", "/os-interface"),
        ("GET", "/os-volume_attachments"),
        ("GET", "/os-instance-actions"),
        ("GET", "/os-security-groups"),
    ):
        mine = await world.call(method, f"/v2.1/servers/{server_id}{path}", by="bob", status=404)
        none = await world.call(method, f"/v2.1/servers/{uuid.UUID(int=7)}{path}", by="bob", status=404)
        assert mine.text.replace(server_id, "") == none.text.replace(str(uuid.UUID(int=7)), "")
    await world.call("PUT", f"/v2.1/servers/{server_id}", {"server": {"name": "x"}}, by="bob", status=404)
    await world.call("POST", f"/v2.1/servers/{server_id}/action", {"os-stop": None}, by="bob", status=404)
    assert world.starts.deleted == []
    assert world.starts.verbs == []
    assert (await world.get("/servers", by="bob"))["servers"] == []


async def test_a_readers_hands_are_tied(world: World) -> None:
    server_id = await world.boot()
    await world.call("GET", f"/v2.1/servers/{server_id}", by="reader", status=200)
    await world.call("DELETE", f"/v2.1/servers/{server_id}", by="reader", status=403)
    await world.call("PUT", f"/v2.1/servers/{server_id}", {"server": {"name": "x"}}, by="reader", status=403)
    await world.call("POST", f"/v2.1/servers/{server_id}/action", {"os-stop": None}, by="reader", status=403)
    body = {"metadata": {"a": "b"}}
    await world.call("POST", f"/v2.1/servers/{server_id}/metadata", body, by="reader", status=403)


async def test_changes_and_what_is_no_change(world: World) -> None:
    server_id = await world.boot()
    body = {"server": {"name": "db", "accessIPv4": "192.0.2.1", "description": "d"}}
    await world.call("PUT", f"/v2.1/servers/{server_id}", body, version="2.19", status=200)
    row = world.db.read_now(servers.get, server_id)
    assert (row.name, row.access_ip_v4, row.description, row.hostname) == ("db", "192.0.2.1", "d", "web")
    for wrong in ({}, {"server": {"name": ""}}, {"server": {"name": None}}, {"server": {"status": "x"}}, {"server": 1}):
        await world.call("PUT", f"/v2.1/servers/{server_id}", wrong, status=400)
    assert world.db.read_now(servers.get, server_id) == row


@pytest.mark.parametrize("path", ["/servers/%00", "/servers/a%00b", "/servers?name=%00"])
async def test_a_nul_in_an_address_finds_nothing(world: World, path: str) -> None:
    await world.call("GET", f"/v2.1{path}", status=404)
