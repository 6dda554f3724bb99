from typing import Any

import pytest

from tests.api.compute.conftest import BOB, World

NEW = {"name": "m1.big", "id": "big", "ram": 1024, "vcpus": "2", "disk": 10}


async def make(world: World, *, status: int = 200, version: str | None = None, **fields: Any) -> dict[str, Any]:
    reply = await world.call(
        "POST", "/v2.1/flavors", {"flavor": NEW | fields}, by="admin", version=version, status=status
    )
    shown: dict[str, Any] = reply.json().get("flavor", {})
    return shown


async def test_a_flavor_is_shown_as_its_version_has_it(world: World) -> None:
    brief = (await world.get("/flavors"))["flavors"]
    assert [set(flavor) for flavor in brief] == [{"id", "name", "links"}]
    shown = (await world.get("/flavors/1"))["flavor"]
    first = {
        *("id", "name", "ram", "disk", "vcpus", "swap", "links", "rxtx_factor"),
        *("OS-FLV-DISABLED:disabled", "os-flavor-access:is_public", "OS-FLV-EXT-DATA:ephemeral"),
    }
    assert set(shown) == first
    assert (shown["ram"], shown["vcpus"], shown["disk"], shown["swap"]) == (512, 1, 1, "")
    assert set((await world.get("/flavors/1", version="2.55"))["flavor"]) == first | {"description"}
    latest = (await world.get("/flavors/detail", version="2.75"))["flavors"][0]
    assert set(latest) == first | {"description", "extra_specs"}
    assert latest["swap"] == 0
    await world.call("GET", "/v2.1/flavors/m1.tiny", status=404)


async def test_administrators_make_and_delete_flavors(world: World) -> None:
    shown = await make(world, swap=64, rxtx_factor="1.5", **{"OS-FLV-EXT-DATA:ephemeral": 5})
    assert (shown["vcpus"], shown["swap"], shown["rxtx_factor"], shown["OS-FLV-EXT-DATA:ephemeral"]) == (2, 64, 1.5, 5)
    await make(world, status=409)
    assert (await make(world, id=None, name="auto"))["id"] not in ("", "None")
    await world.call("POST", "/v2.1/flavors", {"flavor": NEW | {"id": "x"}}, status=403)
    assert (await make(world, id=77, name="numbered"))["id"] == "77"
    await make(world, status=409, id="77", name="numbered too")
    changed = {"flavor": {"description": "large"}}
    await world.call("PUT", "/v2.1/flavors/big", changed, by="admin", version="2.54", status=404)
    reply = await world.call("PUT", "/v2.1/flavors/big", changed, by="admin", version="2.55", status=200)
    assert reply.json()["flavor"]["description"] == "large"
    assert (await world.call("DELETE", "/v2.1/flavors/big", by="admin", status=202)).content == b""
    await world.call("DELETE", "/v2.1/flavors/big", by="admin", status=404)
    await world.call("DELETE", "/v2.1/flavors/1", status=403)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "a\x00"},
        {"name": " a"},
        {"name": None},
        {"id": "a/b"},
        {"id": "../x"},
        {"id": True},
        {"id": 7.5},
        {"id": 10**300},
        {"id": ["7"]},
        {"ram": 0},
        {"ram": "many"},
        {"ram": 2**31},
        {"vcpus": 0},
        {"vcpus": 1.5},
        {"disk": -1},
        {"rxtx_factor": 0},
        {"rxtx_factor": "NaN"},
        {"swap": None},
        {"unknown": 1},
        {"description": "came with 2.55"},
        {"os-flavor-access:is_public": "perhaps"},
    ],
)
async def test_bad_flavors_are_refused(lite: World, fields: dict[str, Any]) -> None:
    await make(lite, status=400, **fields)
    assert len((await lite.get("/flavors", by="admin"))["flavors"]) == 1


async def test_private_flavors_are_for_those_who_were_given_them(world: World) -> None:
    await make(world, **{"os-flavor-access:is_public": False})
    await world.call("GET", "/v2.1/flavors/big", by="bob", status=404)
    action = {"addTenantAccess": {"tenant": BOB}}
    reply = await world.call("POST", "/v2.1/flavors/big/action", action, by="admin", status=200)
    assert reply.json() == {"flavor_access": [{"flavor_id": "big", "tenant_id": BOB}]}
    await world.call("POST", "/v2.1/flavors/big/action", action, by="admin", status=409)
    assert len((await world.get("/flavors", by="bob"))["flavors"]) == 2
    assert len((await world.get("/flavors"))["flavors"]) == 1
    assert len((await world.get("/flavors?is_public=None", by="admin"))["flavors"]) == 2
    assert len((await world.get("/flavors?is_public=False", by="admin"))["flavors"]) == 1
    assert len((await world.get("/flavors", by="admin"))["flavors"]) == 1
    action = {"removeTenantAccess": {"tenant": BOB}}
    await world.call("POST", "/v2.1/flavors/big/action", action, by="admin", status=200)
    await world.call("POST", "/v2.1/flavors/big/action", action, by="admin", status=404)
    await world.call("POST", "/v2.1/flavors/big/action", {}, by="admin", status=400)
    await world.call("GET", "/v2.1/flavors/1/os-flavor-access", by="admin", status=404)


async def test_extra_specs(world: World) -> None:
    path = "/v2.1/flavors/1/os-extra_specs"
    body = {"extra_specs": {"hw:cpu_cores": 1, "quota": "x"}}
    reply = await world.call("POST", path, body, by="admin", status=200)
    assert reply.json() == {"extra_specs": {"hw:cpu_cores": "1", "quota": "x"}}
    await world.call("PUT", f"{path}/quota", {"quota": "y"}, by="admin", status=200)
    assert (await world.get("/flavors/1/os-extra_specs/quota")) == {"quota": "y"}
    assert (await world.call("DELETE", f"{path}/quota", by="admin", status=200)).content == b""
    await world.call("DELETE", f"{path}/quota", by="admin", status=404)
    await world.call("GET", f"{path}/quota", status=404)
    for wrong in ({}, {"extra_specs": {"a/b": "1"}}, {"extra_specs": {"a": None}}, {"extra_specs": {"a": "\x00"}}):
        await world.call("POST", path, wrong, by="admin", status=400)
    await world.call("PUT", f"{path}/a", {"b": "1"}, by="admin", status=400)
    await world.call("POST", path, body, status=403)


async def test_the_form_of_what_is_asked_of_pci_devices_is_checked_as_in_nova(world: World) -> None:
    path = "/v2.1/flavors/1/os-extra_specs"
    wrong = {"pci_passthrough:alias": "gpu"}
    for version, status in (("2.85", 200), ("2.86", 400)):
        await world.call("POST", path, {"extra_specs": wrong}, by="admin", version=version, status=status)
        one = f"{path}/pci_passthrough:alias"
        await world.call("PUT", one, wrong, by="admin", version=version, status=status)
    right = {"extra_specs": {"pci_passthrough:alias": "gpu:1,nic:2"}}
    await world.call("POST", path, right, by="admin", version="2.86", status=200)


async def test_filters_and_pages(world: World) -> None:
    await make(world)
    assert [f["id"] for f in (await world.get("/flavors?minRam=1024"))["flavors"]] == ["big"]
    assert [f["id"] for f in (await world.get("/flavors?minDisk=11"))["flavors"]] == []
    page = await world.get("/flavors?limit=1")
    assert [f["id"] for f in page["flavors"]] == ["1"]
    assert page["flavors_links"][0]["href"].endswith("/flavors?limit=1&marker=1")
    for query in ("minRam=x", "minDisk=-1", "limit=x", "marker=none", "sort_key=password", "sort_dir=up"):
        await world.call("GET", f"/v2.1/flavors?{query}", status=400)
    await world.call("GET", "/v2.1/flavors?is_public=perhaps", by="admin", status=400)
