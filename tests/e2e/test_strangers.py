"""Another project's things are not there, and tokens that nobody issued open nothing."""

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.world import World, until

_SERVICES = {
    "identity": "/identity/v3/auth/tokens",
    "compute": "/compute/v2.1/servers",
    "image": "/image/v2/images",
    "network": "/network/v2.0/networks",
    "volume": "/volume/v3/volumes",
    "placement": "/placement/resource_providers",
}


@pytest.fixture
def stranger(world: World) -> Iterator[httpx.Client]:
    """A member of a project of their own."""
    name = f"stranger-{uuid.uuid4().hex[:8]}"
    identity = "/identity/v3"
    project = world.admin.make(f"{identity}/projects", {"project": {"name": name}})["project"]["id"]
    user = world.admin.make(f"{identity}/users", {"user": {"name": name, "password": "a long one"}})["user"]["id"]
    roles = {role["name"]: role["id"] for role in world.admin.show(f"{identity}/roles")["roles"]}
    grant = f"{identity}/projects/{project}/users/{user}/roles/{roles['member']}"
    assert world.admin.put(grant).status_code == 204
    password = {"user": {"id": user, "password": "a long one"}}
    auth = {
        "identity": {"methods": ["password"], "password": password},
        "scope": {"project": {"id": project}},
    }
    with httpx.Client(base_url=world.settings.api_url, timeout=60) as client:
        token = client.post(_SERVICES["identity"], json={"auth": auth})
        assert token.status_code == 201, token.text
        client.headers["X-Auth-Token"] = token.headers["X-Subject-Token"]
        yield client
    assert world.admin.delete(f"{identity}/users/{user}").status_code == 204
    assert world.admin.delete(f"{identity}/projects/{project}").status_code == 204


def test_another_projects_things_are_not_there(world: World, stranger: httpx.Client) -> None:
    image = world.demo.make("/image/v2/images", {"name": "mine", "disk_format": "raw", "container_format": "bare"})
    port = world.demo.make("/network/v2.0/ports", {"port": {"network_id": world.network_id}})["port"]
    volume = world.demo.make("/volume/v3/volumes", {"volume": {"size": 1}})["volume"]
    until(lambda: world.demo.show(f"/volume/v3/volumes/{volume['id']}")["volume"]["status"] == "available", "volume")
    server_id = world.boot("mine")
    world.active(server_id)
    mine = {
        f"/compute/v2.1/servers/{server_id}",
        f"/image/v2/images/{image['id']}",
        f"/network/v2.0/ports/{port['id']}",
        f"/volume/v3/volumes/{volume['id']}",
    }
    for path in mine:
        assert stranger.get(path).status_code == 404, path
        assert stranger.delete(path).status_code == 404, path
        assert world.demo.get(path).status_code == 200, path
    action = stranger.post(f"/compute/v2.1/servers/{server_id}/action", json={"os-stop": None})
    assert action.status_code == 404
    for wanted in (
        {"imageRef": image["id"]},
        {"networks": [{"port": port["id"]}]},
        {"block_device_mapping_v2": [_root(volume["id"])], "imageRef": None},
    ):
        reply = stranger.post("/compute/v2.1/servers", json={"server": world.request("theirs", **wanted)})
        assert reply.status_code == 400, reply.text
    world.delete(server_id)
    for path in mine - {f"/compute/v2.1/servers/{server_id}"}:
        assert world.demo.delete(path).status_code in (202, 204), path
    until(lambda: world.demo.get(f"/volume/v3/volumes/{volume['id']}").status_code == 404, "the volume is gone")


def _root(volume_id: str) -> dict[str, Any]:
    return {"uuid": volume_id, "source_type": "volume", "destination_type": "volume", "boot_index": 0}


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    header, claims, signature = token.split(".")
    return _read(header), _read(claims), signature


def _read(part: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return read


def _write(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def _forgeries(token: str) -> dict[str, str]:
    header, claims, signature = _parts(token)
    roles = {**claims, "sub": str(uuid.uuid4())}
    return {
        "rubbish": "rubbish",
        "nothing signed": f"{_write({**header, 'alg': 'none'})}.{_write(claims)}.",
        "another algorithm": f"{_write({**header, 'alg': 'HS256'})}.{_write(claims)}.{signature}",
        "another person": f"{_write(header)}.{_write(roles)}.{signature}",
        "a longer life": f"{_write(header)}.{_write({**claims, 'exp': claims['exp'] + 86400})}.{signature}",
        "another key": f"{_write({**header, 'kid': 'mine'})}.{_write(claims)}.{signature}",
    }


@pytest.mark.parametrize("service", _SERVICES)
def test_forged_tokens_open_nothing(world: World, service: str) -> None:
    token = str(world.demo.headers["X-Auth-Token"])
    for what, forged in _forgeries(token).items():
        headers = {"X-Auth-Token": forged, "X-Subject-Token": token}
        reply = httpx.get(f"{world.settings.api_url}{_SERVICES[service]}", headers=headers)
        assert reply.status_code == 401, f"{what}: {reply.status_code} {reply.text}"
        bearer = {"Authorization": f"Bearer {forged}", "X-Subject-Token": token}
        assert httpx.get(f"{world.settings.api_url}{_SERVICES[service]}", headers=bearer).status_code == 401, what


@pytest.mark.parametrize("service", _SERVICES)
def test_a_revoked_token_opens_nothing(world: World, service: str) -> None:
    token = world.demo.sign_in()
    subject = {"X-Auth-Token": world.admin.sign_in(), "X-Subject-Token": token}
    url = world.settings.api_url
    assert httpx.delete(f"{url}{_SERVICES['identity']}", headers=subject).status_code == 204
    headers = {"X-Auth-Token": token, "X-Subject-Token": str(world.reader.headers["X-Auth-Token"])}
    reply = until(
        lambda: (answer := httpx.get(f"{url}{_SERVICES[service]}", headers=headers)).status_code == 401 and answer,
        "the token is refused",
        world.settings.keycloak.introspection_seconds + 20,
    )
    assert reply
