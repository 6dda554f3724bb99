"""The same request, sent several times at once: one wins, the others get their code, and the world is as if the winner
had been alone, on both databases."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import httpx
import pytest

from api import start_volume
from api.deps import Services
from api.image.routes import build as image
from api.network.routes import build as network
from api.volume.routes import build as volume
from infra.db import network_quotas, schema, snapshots, storage_quotas, volumes
from infra.db.engine import Database
from infra.domain.network import NetworkQuota
from infra.image.file_store import FileStore
from infra.settings import Settings
from infra.volume.fake import FakeBackend
from tests.api.image.harness import Prefixed, Verifier
from tests.conftest import new_postgresql_database

AT_ONCE = 3
DATA = b"guest" * 2000 + bytes(240)
Ids = dict[str, str]


class Cloud:
    """Network, image and volume service; nobody works on the data of volumes."""

    def __init__(self, services: Services) -> None:
        self.db = services.db
        apps = {"network": network, "image": image, "volume": volume}
        self._doors = {name: Prefixed(name, build(services)) for name, build in apps.items()}
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self._door), base_url="http://test")

    async def _door(self, scope: Any, receive: Any, send: Any) -> None:
        await self._doors[scope["path"].split("/")[1]](scope, receive, send)

    async def call(
        self, project: str, method: str, path: str, body: Any = None, *, by: str = "member"
    ) -> httpx.Response:
        """``by`` a role in the project; ``service`` is a worker that acts for a member."""
        role = "member" if by == "service" else by
        headers = {"X-Auth-Token": f"{project}:{role}"}
        if by == "service":
            headers["X-Service-Token"] = "any:service"
        if isinstance(body, bytes):
            headers["Content-Type"] = "application/octet-stream"
            return await self.http.request(method, path, content=body, headers=headers)
        return await self.http.request(method, path, json=body, headers=headers)

    async def make(self, project: str, path: str, kind: str, **values: Any) -> str:
        reply = await self.call(project, "POST", path, {kind: values} if kind else values)
        assert reply.is_success, reply.text
        made = reply.json()
        return str((made[kind] if kind else made)["id"])

    async def state(self, project: str) -> dict[str, Any]:
        """How many there are of everything, by status where it has one, and what counts against quotas."""
        found: dict[str, Any] = {}
        for path in LISTS:
            things = next(value for value in (await self._get(project, path)).values() if isinstance(value, list))
            found[path] = sorted(str(thing.get("status", "")) for thing in things if _own(thing, project))
        found["network quota"] = (await self._get(project, f"/network/v2.0/quotas/{project}/details.json"))["quota"]
        found["volume quota"] = (await self._get(project, f"/volume/v3/{project}/os-quota-sets/{project}?usage=true"))[
            "quota_set"
        ]
        del found["volume quota"]["id"]
        return found

    async def _get(self, project: str, path: str) -> Any:
        reply = await self.call(project, "GET", path)
        assert reply.is_success, reply.text
        return reply.json()


LISTS = (
    *(f"/network/v2.0/{kind}" for kind in ("networks", "subnets", "ports", "security-groups", "security-group-rules")),
    "/image/v2/images",
    *(f"/volume/v3/{kind}/detail" for kind in ("volumes", "snapshots", "attachments")),
)


def _own(thing: dict[str, Any], project_id: str) -> bool:
    return bool(thing.get("project_id", thing.get("owner", project_id)) == project_id)


# -- what there is before


async def a_network(cloud: Cloud, project: str) -> Ids:
    return {"network": await cloud.make(project, "/network/v2.0/networks", "network", name="n")}


async def a_subnet(cloud: Cloud, project: str) -> Ids:
    ids = await a_network(cloud, project)
    values = {"network_id": ids["network"], "ip_version": 4, "cidr": "10.0.0.0/24"}
    return ids | {"subnet": await cloud.make(project, "/network/v2.0/subnets", "subnet", **values)}


async def a_port(cloud: Cloud, project: str) -> Ids:
    ids = await a_subnet(cloud, project)
    return ids | {"port": await cloud.make(project, "/network/v2.0/ports", "port", network_id=ids["network"])}


async def a_group(cloud: Cloud, project: str) -> Ids:
    return {"group": await cloud.make(project, "/network/v2.0/security-groups", "security_group", name="g")}


async def a_rule(cloud: Cloud, project: str) -> Ids:
    ids = await a_group(cloud, project)
    made = await cloud.make(project, "/network/v2.0/security-group-rules", "security_group_rule", **_rule(ids))
    return ids | {"rule": made}


def _rule(ids: Ids) -> dict[str, Any]:
    return {
        "security_group_id": ids["group"],
        "direction": "ingress",
        "protocol": "tcp",
        "port_range_min": 22,
        "port_range_max": 22,
    }


async def one_network_left(cloud: Cloud, project: str) -> Ids:
    cloud.db.write_now(network_quotas.set_limits, project, {"network": 1}, NetworkQuota())
    return {}


async def an_image(cloud: Cloud, project: str) -> Ids:
    values = {"name": "i", "disk_format": "raw", "container_format": "bare", "visibility": "shared", "tags": ["t"]}
    return {"image": await cloud.make(project, "/image/v2/images", "", **values)}


async def a_member(cloud: Cloud, project: str) -> Ids:
    ids = await an_image(cloud, project)
    reply = await cloud.call(project, "POST", f"/image/v2/images/{ids['image']}/members", {"member": "f" * 32})
    assert reply.is_success, reply.text
    return ids


async def an_id(cloud: Cloud, project: str) -> Ids:
    return {"id": str(uuid.uuid4())}


async def a_volume(cloud: Cloud, project: str) -> Ids:
    made = await cloud.make(project, "/volume/v3/volumes", "volume", size=1)
    cloud.db.write_now(volumes.set_available, made)
    return {"volume": made}


async def a_snapshot(cloud: Cloud, project: str) -> Ids:
    ids = await a_volume(cloud, project)
    made = await cloud.make(project, "/volume/v3/snapshots", "snapshot", volume_id=ids["volume"])
    cloud.db.write_now(snapshots.set_available, made)
    return ids | {"snapshot": made}


async def one_volume_left(cloud: Cloud, project: str) -> Ids:
    cloud.db.write_now(storage_quotas.set_limits, "volume", project, {"volumes": 1})
    return {}


async def one_snapshot_left(cloud: Cloud, project: str) -> Ids:
    cloud.db.write_now(storage_quotas.set_limits, "volume", project, {"snapshots": 1})
    return await a_volume(cloud, project)


async def a_reservation(cloud: Cloud, project: str) -> Ids:
    ids = await a_volume(cloud, project)
    values = {"volume_uuid": ids["volume"], "instance_uuid": str(uuid.uuid4())}
    return ids | {"attachment": await cloud.make(project, "/volume/v3/attachments", "attachment", **values)}


async def an_attached_volume(cloud: Cloud, project: str) -> Ids:
    ids = await a_volume(cloud, project)
    body = {"os-attach": {"instance_uuid": str(uuid.uuid4()), "mountpoint": "/dev/vdb"}}
    reply = await cloud.call(project, "POST", f"/volume/v3/volumes/{ids['volume']}/action", body)
    assert reply.is_success, reply.text
    return ids


async def a_type(cloud: Cloud, project: str) -> Ids:
    reply = await cloud.call(project, "POST", "/volume/v3/types", {"volume_type": {"name": project}}, by="admin")
    assert reply.is_success, reply.text
    return {"type": reply.json()["volume_type"]["id"]}


# -- what is sent


@dataclass(frozen=True)
class Verb:
    prepare: Callable[[Cloud, str], Awaitable[Ids]]
    method: str
    path: str
    won: int
    lost: int
    body: Callable[[Ids], Any] = lambda ids: None
    by: str = "member"


def _action(name: str, **argument: Any) -> Callable[[Ids], Any]:
    return lambda ids: {name: argument or None}


VERBS = {
    "delete network": Verb(a_network, "DELETE", "/network/v2.0/networks/{network}", 204, 404),
    "delete subnet": Verb(a_subnet, "DELETE", "/network/v2.0/subnets/{subnet}", 204, 404),
    "delete port": Verb(a_port, "DELETE", "/network/v2.0/ports/{port}", 204, 404),
    "delete group": Verb(a_group, "DELETE", "/network/v2.0/security-groups/{group}", 204, 404),
    "delete rule": Verb(a_rule, "DELETE", "/network/v2.0/security-group-rules/{rule}", 204, 404),
    "make rule": Verb(
        a_group,
        "POST",
        "/network/v2.0/security-group-rules",
        *(201, 409),
        lambda ids: {"security_group_rule": _rule(ids)},
    ),
    "make last network": Verb(
        one_network_left, "POST", "/network/v2.0/networks", 201, 409, lambda ids: {"network": {"name": "last"}}
    ),
    "make subnet": Verb(
        a_network,
        "POST",
        "/network/v2.0/subnets",
        *(201, 400),
        lambda ids: {"subnet": {"network_id": ids["network"], "ip_version": 4, "cidr": "10.0.0.0/24"}},
    ),
    "take address": Verb(
        a_subnet,
        "POST",
        "/network/v2.0/ports",
        *(201, 409),
        lambda ids: {"port": {"network_id": ids["network"], "fixed_ips": [{"ip_address": "10.0.0.9"}]}},
    ),
    "take MAC address": Verb(
        a_network,
        "POST",
        "/network/v2.0/ports",
        *(201, 409),
        lambda ids: {"port": {"network_id": ids["network"], "mac_address": "fa:16:3e:00:00:01"}},
    ),
    "bind port": Verb(
        a_port,
        "PUT",
        "/network/v2.0/ports/{port}",
        *(200, 409),
        lambda ids: {"port": {"device_id": str(uuid.uuid4()), "device_owner": "compute:nova", "binding:host_id": "h"}},
        "service",
    ),
    "make image": Verb(an_id, "POST", "/image/v2/images", 201, 409, lambda ids: {"id": ids["id"], "name": "i"}),
    "delete image": Verb(an_image, "DELETE", "/image/v2/images/{image}", 204, 404),
    "upload image": Verb(an_image, "PUT", "/image/v2/images/{image}/file", 204, 409, lambda ids: DATA),
    "share image": Verb(
        an_image, "POST", "/image/v2/images/{image}/members", 200, 409, lambda ids: {"member": "f" * 32}
    ),
    "share image no more": Verb(a_member, "DELETE", "/image/v2/images/{image}/members/" + "f" * 32, 204, 404),
    "delete tag": Verb(an_image, "DELETE", "/image/v2/images/{image}/tags/t", 204, 404),
    "make last volume": Verb(
        one_volume_left, "POST", "/volume/v3/volumes", 202, 413, lambda ids: {"volume": {"size": 1}}
    ),
    # That it is being deleted already is success.
    "delete volume": Verb(a_volume, "DELETE", "/volume/v3/volumes/{volume}", 202, 202),
    "delete snapshot": Verb(a_snapshot, "DELETE", "/volume/v3/snapshots/{snapshot}", 202, 202),
    "make last snapshot": Verb(
        one_snapshot_left,
        "POST",
        "/volume/v3/snapshots",
        *(202, 413),
        lambda ids: {"snapshot": {"volume_id": ids["volume"]}},
    ),
    "reserve": Verb(
        a_volume,
        "POST",
        "/volume/v3/attachments",
        *(200, 400),
        lambda ids: {"attachment": {"volume_uuid": ids["volume"], "instance_uuid": str(uuid.uuid4())}},
    ),
    "give back": Verb(a_reservation, "DELETE", "/volume/v3/attachments/{attachment}", 200, 404),
    "os-reserve": Verb(a_volume, "POST", "/volume/v3/volumes/{volume}/action", 202, 400, _action("os-reserve")),
    "os-attach": Verb(
        a_volume,
        "POST",
        "/volume/v3/volumes/{volume}/action",
        *(202, 400),
        lambda ids: {"os-attach": {"instance_uuid": str(uuid.uuid4()), "mountpoint": "/dev/vdb"}},
    ),
    "os-detach": Verb(an_attached_volume, "POST", "/volume/v3/volumes/{volume}/action", 202, 404, _action("os-detach")),
    "os-extend": Verb(
        a_volume, "POST", "/volume/v3/volumes/{volume}/action", 202, 400, _action("os-extend", new_size=2)
    ),
    "copy to image": Verb(
        a_volume,
        "POST",
        "/volume/v3/volumes/{volume}/action",
        *(202, 400),
        _action("os-volume_upload_image", image_name="i", disk_format="raw", container_format="bare"),
    ),
    "delete type": Verb(a_type, "DELETE", "/volume/v3/types/{type}", 202, 404, by="admin"),
}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One for all verbs: each has projects of its own."""
    if request.param == "postgresql":
        yield from new_postgresql_database(request.getfixturevalue("postgresql"))
        return
    db = Database(f"sqlite:///{tmp_path_factory.mktemp('at-once') / 'kilonova.db'}")
    schema.create_all(db)
    yield db
    db.close()


@pytest.fixture(scope="module")
async def cloud(shared: Database, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cloud]:
    nothing, state = cast(Any, None), tmp_path_factory.mktemp("state")
    images, verifier = FileStore(state / "images"), cast(Any, Verifier())
    made = Cloud(Services(Settings(state_dir=state), shared, verifier, images, FakeBackend(), nothing, nothing))
    yield made
    await made.http.aclose()


@pytest.mark.parametrize("name", VERBS)
async def test_one_of_several_wins(cloud: Cloud, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(*_: Any) -> None:
        return

    monkeypatch.setattr(start_volume, "work_on", nobody)
    verb, codes, states = VERBS[name], [], []
    for times in (AT_ONCE, 1):
        project = uuid.uuid4().hex
        ids = await verb.prepare(cloud, project)
        path = verb.path.format(**ids)
        sent = (cloud.call(project, verb.method, path, verb.body(ids), by=verb.by) for _ in range(times))
        codes.append(sorted(reply.status_code for reply in await asyncio.gather(*sent)))
        states.append(await cloud.state(project))
    assert codes == [sorted([verb.won, *[verb.lost] * (AT_ONCE - 1)]), [verb.won]]
    assert states[0] == states[1]
