import base64
from typing import Any

import pytest

from infra.db import images, quotas, servers
from infra.domain.boot import BlockDeviceRequest, NetworkRequest
from tests.api.compute.conftest import ALICE, IMAGE, NETWORK, World, boot_body

UUID = "99999999-9999-4999-8999-999999999999"


async def test_a_request_becomes_a_spec_and_the_reply_has_the_five_fields(world: World) -> None:
    body = boot_body(
        metadata={"a": "b"},
        user_data=base64.b64encode(b"#!/bin/sh").decode(),
        config_drive=True,
        accessIPv6="0:0:0:0:0:babe:dc0c:1602",
        security_groups=[{"name": "default"}],
        min_count="1",
    )
    body["server"]["OS-DCF:diskConfig"] = "AUTO"
    body["os:scheduler_hints"] = {"different_host": [UUID], "unknown": "kept"}
    reply = await world.call("POST", "/v2.1/servers", body, status=202)
    made = reply.json()["server"]
    assert set(made) == {"id", "links", "OS-DCF:diskConfig", "security_groups", "adminPass"}
    assert reply.headers["location"] == made["links"][0]["href"]
    assert reply.headers["location"].endswith(f"/compute/v2.1/servers/{made['id']}")
    assert made["OS-DCF:diskConfig"] == "AUTO"
    assert made["security_groups"] == [{"name": "default"}]
    (spec,) = world.starts.specs
    assert spec.admin_password == made["adminPass"]
    assert spec.networks == (NetworkRequest(network_id=NETWORK),)
    assert spec.access_ip_v6 == "::babe:dc0c:1602"
    assert spec.scheduler_hints == {"different_host": [UUID], "unknown": "kept"}
    assert (spec.metadata, spec.config_drive, spec.min_count, spec.max_count) == ({"a": "b"}, True, 1, 1)
    shown = (await world.get(f"/servers/{made['id']}"))["server"]
    assert (shown["status"], shown["name"], shown["accessIPv6"]) == ("BUILD", "web", "::babe:dc0c:1602")


async def test_references_may_be_addresses_that_end_in_an_id(lite: World) -> None:
    await lite.boot(imageRef=f"http://glance/images/{IMAGE}", flavorRef="http://nova/flavors/1")
    assert (lite.starts.specs[0].image_id, lite.starts.specs[0].flavor_id) == (IMAGE, "1")


async def test_networks_may_be_left_to_the_service(lite: World) -> None:
    body = boot_body()
    del body["server"]["networks"]
    await lite.call("POST", "/v2.1/servers", body, status=202)
    await lite.call("POST", "/v2.1/servers", body, version="2.37", status=400)
    await lite.call("POST", "/v2.1/servers", boot_body(networks="auto"), version="2.37", status=202)
    await lite.call("POST", "/v2.1/servers", boot_body(networks="none"), version="2.37", status=202)
    assert [spec.networks for spec in lite.starts.specs] == [None, None, ()]


async def test_several_servers_share_a_reservation(world: World) -> None:
    body = boot_body(min_count=2, max_count=3, return_reservation_id=True)
    reply = await world.call("POST", "/v2.1/servers", body, status=202)
    reservation = reply.json()["reservation_id"]
    found = await world.get(f"/servers?reservation_id={reservation}")
    assert len(found["servers"]) == 3


async def test_the_client_says_the_same_image_twice_for_the_root_disk(lite: World) -> None:
    """``openstack server create --image --block-device`` sends it as ``imageRef`` and as a local device."""
    devices = [
        {"uuid": IMAGE, "boot_index": 0, "source_type": "image", "destination_type": "local"},
        {"boot_index": -1, "source_type": "blank", "destination_type": "volume", "volume_size": "1"},
    ]
    await lite.boot(block_device_mapping_v2=devices)
    (spec,) = lite.starts.specs
    assert spec.image_id == IMAGE
    assert spec.block_devices == (BlockDeviceRequest(source_type="blank", boot_index=-1, size_gb=1),)


async def test_a_volume_made_from_the_image_boots_instead_of_it(lite: World) -> None:
    devices = [{"uuid": IMAGE, "boot_index": "0", "source_type": "image", "destination_type": "volume"}]
    devices[0]["volume_size"] = 1  # type: ignore[assignment]
    server_id = await lite.boot(imageRef="", block_device_mapping_v2=devices)
    assert lite.starts.specs[0].image_id is None
    assert (await lite.get(f"/servers/{server_id}"))["server"]["image"] == ""


FIELDS: list[tuple[str, Any]] = [
    ("name", ""),
    ("name", " web"),
    ("name", "web\n"),
    ("name", "we\x00b"),
    ("name", "we\x1bb"),
    ("name", "we\u200bb"),
    ("name", "x" * 256),
    ("name", None),
    ("name", 1),
    ("name", ["web"]),
    ("flavorRef", ""),
    ("flavorRef", None),
    ("flavorRef", "1/../2"),
    ("flavorRef", "<b>"),
    ("flavorRef", {"id": 1}),
    ("flavorRef", "no-such"),
    ("imageRef", "../../etc/passwd"),
    ("imageRef", "http://glance/"),
    ("imageRef", "guest"),
    ("imageRef", UUID),
    ("imageRef", ""),
    ("networks", {}),
    ("networks", "auto"),
    ("networks", [{}]),
    ("networks", [{"uuid": "private"}]),
    ("networks", [{"uuid": UUID}]),
    ("networks", [{"port": UUID}]),
    ("networks", [{"uuid": NETWORK, "fixed_ip": "10.1.0.999"}]),
    ("networks", [{"uuid": NETWORK, "fixed_ip": "192.0.2.1"}]),
    ("networks", [{"uuid": NETWORK, "mac": "fe:fe:fe:fe:fe:fe"}]),
    ("user_data", "not base64!"),
    ("user_data", "AAA"),
    ("user_data", base64.b64encode(b"x" * 49152).decode()),
    ("metadata", {"a\nb": "c"}),
    ("metadata", {"../a": "c"}),
    ("metadata", {"": "c"}),
    ("metadata", {"a": "x" * 256}),
    ("metadata", {"a": "\x07"}),
    ("metadata", {"a": 1}),
    ("metadata", {"a": None}),
    ("metadata", []),
    ("personality", [{"path": "/etc/passwd", "contents": "eA=="}]),
    ("key_name", "no-such"),
    ("key_name", "a\nb"),
    ("security_groups", [{"name": "no-such"}]),
    ("security_groups", ["default"]),
    ("availability_zone", "no-such"),
    ("availability_zone", "a/b"),
    ("availability_zone", "\x01"),
    ("config_drive", "maybe"),
    ("min_count", 0),
    ("min_count", "-1"),
    ("min_count", 1.5),
    ("max_count", "many"),
    ("max_count", 100000000000000000000),
    ("accessIPv4", "::1"),
    ("accessIPv6", "1.2.3.4"),
    ("accessIPv4", "1.2.3.4/24"),
    ("OS-DCF:diskConfig", "manual"),
    ("adminPass", "x" * 256),
    ("block_device_mapping_v2", [{"source_type": "volume", "destination_type": "volume", "uuid": UUID}]),
    ("block_device_mapping_v2", [{"source_type": "snapshot", "destination_type": "volume", "uuid": UUID}]),
    ("block_device_mapping_v2", [{"source_type": "blank", "destination_type": "volume"}]),
    ("block_device_mapping_v2", [{"source_type": "tape"}]),
    ("block_device_mapping_v2", [{"source_type": "blank", "device_name": "/dev/vdb;rm", "volume_size": 1}]),
    ("block_device_mapping_v2", [{"source_type": "blank", "destination_type": "volume", "volume_size": 0}]),
    ("block_device_mapping", [{"device_name": "vda"}]),
    ("unknown", True),
    ("OS-EXT-SRV-ATTR:host", "h"),
    ("tags", ["a"]),
    ("description", "x"),
    ("hostname", "web"),
    ("host", "h1"),
]


@pytest.mark.parametrize(
    ("field", "value"), FIELDS, ids=[f"{entry[0]}-{number}" for number, entry in enumerate(FIELDS)]
)
async def test_bad_fields_are_refused_and_nothing_is_started(lite: World, field: str, value: Any) -> None:
    reply = await lite.call("POST", "/v2.1/servers", boot_body(**{field: value}), status=400)
    assert reply.json()["badRequest"]["code"] == 400
    assert lite.starts.nothing


LATER: list[tuple[str, str, Any]] = [
    ("2.19", "description", "x" * 256),
    ("2.19", "description", "a\x00"),
    ("2.42", "networks", [{"uuid": NETWORK, "tag": "a,b"}]),
    ("2.52", "tags", ["a/b"]),
    ("2.52", "tags", ["a", "a"]),
    ("2.52", "tags", [str(number) for number in range(51)]),
    ("2.57", "personality", []),
    ("2.63", "trusted_image_certificates", ["c"]),
    ("2.90", "hostname", "web.example.org"),
    ("2.94", "hostname", "-web"),
    ("2.94", "hostname", "web..org"),
]


@pytest.mark.parametrize(("version", "field", "value"), LATER)
async def test_bad_fields_of_later_versions_are_refused(lite: World, version: str, field: str, value: Any) -> None:
    await lite.call("POST", "/v2.1/servers", boot_body(**{field: value}), version=version, status=400)
    assert lite.starts.nothing


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"server"',
        b'{"server": []}',
        b'{"servers": {}}',
        b'{"server": {"name": "\\ud800"}}',
        b"\xff",
    ],
)
async def test_what_is_not_a_request_is_400(lite: World, content: bytes) -> None:
    reply = await lite.call(
        "POST", "/v2.1/servers", content=content, headers={"Content-Type": "application/json"}, status=400
    )
    assert "badRequest" in reply.json()
    assert lite.starts.nothing


async def test_a_body_that_is_too_large_or_of_another_type_is_refused(lite: World) -> None:
    json = {"Content-Type": "application/json"}
    await lite.call("POST", "/v2.1/servers", content=b" " * 600_000, headers=json, status=413)
    await lite.call("POST", "/v2.1/servers", content=b"<x/>", headers={"Content-Type": "text/xml"}, status=415)
    assert lite.starts.nothing


async def test_markup_in_a_name_is_a_name(lite: World) -> None:
    name = "<b>&\"'../web</b>"
    server_id = await lite.boot(name=name)
    assert (await lite.get(f"/servers/{server_id}"))["server"]["name"] == name


async def test_quota_is_checked_before_anything_is_started(world: World) -> None:
    world.db.write_now(quotas.put, ALICE, {"instances": 1, "metadata_items": 1})
    await world.call("POST", "/v2.1/servers", boot_body(metadata={"a": "1", "b": "2"}), status=403)
    await world.call("POST", "/v2.1/servers", boot_body(min_count=2), status=403)
    assert world.starts.nothing
    await world.boot()
    reply = await world.call("POST", "/v2.1/servers", boot_body(), status=403)
    assert "Quota exceeded for instances" in reply.json()["forbidden"]["message"]
    assert world.db.read_now(servers.count) == 1


async def test_a_keyed_request_is_left_to_admission_which_knows_a_repeat(lite: World) -> None:
    lite.db.write_now(quotas.put, ALICE, {"instances": 1})
    await lite.call("POST", "/v2.1/servers", boot_body(), headers={"Idempotency-Key": "k-1"}, status=202)
    assert lite.starts.keys == ["k-1"]
    for wrong in ("", "x" * 256, "a\tb"):
        await lite.call("POST", "/v2.1/servers", boot_body(), headers={"Idempotency-Key": wrong}, status=400)
    await lite.call("POST", "/v2.1/servers", boot_body(), status=403)
    assert lite.starts.keys == ["k-1"]


async def test_an_image_must_be_active_and_fit(world: World) -> None:
    world.db.write_now(images.set_active, IMAGE, False)
    await world.call("POST", "/v2.1/servers", boot_body(), status=400)
    world.db.write_now(images.set_active, IMAGE, True)
    world.db.write_now(images.update, IMAGE, lambda image: image.model_copy(update={"min_disk": 2}))
    await world.call("POST", "/v2.1/servers", boot_body(), status=400)
    world.db.write_now(images.update, IMAGE, lambda image: image.model_copy(update={"min_disk": 0, "min_ram": 513}))
    await world.call("POST", "/v2.1/servers", boot_body(), status=400)
    assert world.starts.nothing


async def test_only_administrators_choose_hosts_and_only_members_boot(lite: World) -> None:
    await lite.call("POST", "/v2.1/servers", boot_body(availability_zone="nova:h1"), status=403)
    await lite.call("POST", "/v2.1/servers", boot_body(host="h1", networks="auto"), version="2.74", status=403)
    await lite.call("POST", "/v2.1/servers", boot_body(), by="reader", status=403)
    await lite.call("POST", "/v2.1/servers", boot_body(), by="unscoped", status=403)
    await lite.call("POST", "/v2.1/servers", boot_body(), by="forged", status=401)
    assert lite.starts.nothing
