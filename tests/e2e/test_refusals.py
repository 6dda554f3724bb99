"""Requests that can't be: a clear fault in the same call, and nothing is left (the fixture ``world`` looks)."""

import base64
import uuid
from typing import Any

import httpx
import pytest

from infra.deploy import seeds
from tests.e2e.world import Refused, World

_SERVERS = "/compute/v2.1/servers"
_NOBODY = str(uuid.uuid4())


def _fault(reply: httpx.Response) -> str:
    """The message of an OpenStack fault; fails if there is none."""
    (fault,) = reply.json().values()
    assert fault["code"] == reply.status_code
    return str(fault["message"])


def _refused(world: World, **changes: Any) -> tuple[int, str]:
    reply = world.demo.post(_SERVERS, json={"server": world.request("refused", **changes)})
    return reply.status_code, _fault(reply)


def test_without_a_token(world: World) -> None:
    reply = httpx.post(f"{world.settings.api_url}{_SERVERS}", json={"server": world.request("refused")})
    assert reply.status_code == 401


def test_a_reader_may_look_and_not_boot(world: World) -> None:
    assert world.reader.get(f"{_SERVERS}/detail").status_code == 200
    reply = world.reader.post(_SERVERS, json={"server": world.request("refused")})
    assert reply.status_code == 403
    with pytest.raises(Refused, match="403"):
        world.openstack("volume", "create", "--size", "1", "refused", cloud="kilonova-reader")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"imageRef": _NOBODY}, "image"),
        ({"flavorRef": "no-such"}, "flavor"),
        ({"networks": [{"uuid": _NOBODY}]}, "network"),
        ({"networks": [{"port": _NOBODY}]}, "port"),
        ({"key_name": "no-such"}, "key"),
        ({"user_data": base64.b64encode(b"x" * 65536).decode()}, "user_data"),
        ({"user_data": "no base64!"}, "user_data"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "bell\a"}, "name"),
        ({"name": ""}, "name"),
        ({"surprise": 1}, "surprise"),
        ({"metadata": {"key": "x" * 256}}, "metadata"),
        ({"availability_zone": "no-such"}, "zone"),
        ({"security_groups": [{"name": "no-such"}]}, "security group"),
        ({"networks": "maybe"}, "networks"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_not_there_or_not_allowed(world: World, changes: dict[str, Any], named: str) -> None:
    code, message = _refused(world, **changes)
    assert code == 400, message
    assert named in message.lower()


def test_over_the_quota(world: World) -> None:
    project = world.demo_project
    quota = f"/compute/v2.1/os-quota-sets/{project}"
    before = world.admin.show(quota)["quota_set"]["instances"]
    assert world.admin.put(quota, json={"quota_set": {"instances": 0}}).status_code == 200
    try:
        code, message = _refused(world)
    finally:
        assert world.admin.put(quota, json={"quota_set": {"instances": before}}).status_code == 200
    assert code == 403
    assert "instances" in message


def test_an_address_that_is_in_use(world: World) -> None:
    port = world.demo.make("/network/v2.0/ports", {"port": {"network_id": world.network_id}})["port"]
    address = port["fixed_ips"][0]["ip_address"]
    code, message = _refused(world, networks=[{"uuid": world.network_id, "fixed_ip": address}])
    assert code in (400, 409)
    assert address in message
    assert world.demo.delete(f"/network/v2.0/ports/{port['id']}").status_code == 204


def test_the_client_shows_the_reason(world: World) -> None:
    with pytest.raises(Refused, match=r"400.*Invalid key_name"):
        world.openstack(
            *("server", "create", "--image", seeds.IMAGE, "--flavor", "m1.tiny", "--network", seeds.NETWORK),
            *("--key-name", "no-such", "refused"),
        )


def test_names_that_would_break_out_of_files_stay_names(world: World) -> None:
    name = "../../etc/passwd\"><domain/>&#x0; $(reboot) '; DROP TABLE servers --"
    server_id = world.boot(name, metadata={"a..b": '</x>&amp;"../'})
    assert world.active(server_id)["name"] == name
    world.delete(server_id)
