import pytest

from api.compute.microversion import MAXIMUM, MalformedVersion, NotAcceptable, negotiate
from tests.api.compute.conftest import ALICE, BOB, World


@pytest.mark.parametrize(
    ("standard", "legacy", "expected"),
    [
        (None, None, 1),
        (None, "2.1", 1),
        (None, "2.26", 26),
        (None, "latest", MAXIMUM),
        ("compute 2.90", None, 90),
        ("compute latest", None, MAXIMUM),
        ("volume 3.71, compute 2.47", None, 47),
        ("volume 3.71", "2.3", 3),
        ("compute 2.10", "2.3", 10),
    ],
)
def test_the_version_is_what_a_header_says(standard: str | None, legacy: str | None, expected: int) -> None:
    assert negotiate(standard, legacy) == expected


@pytest.mark.parametrize("asked", ["2.0", f"2.{MAXIMUM + 1}", "3.1", "1.1", "2.9999"])
def test_versions_that_are_not_served(asked: str) -> None:
    with pytest.raises(NotAcceptable):
        negotiate(None, asked)


@pytest.mark.parametrize("asked", ["", "2", "2.", "v2.1", "2.1.1", "two", "2.1\n2.2", "٢.١", "2.99999999"])
def test_what_is_no_version(asked: str) -> None:
    with pytest.raises((MalformedVersion, NotAcceptable)):
        negotiate(None, asked)


async def test_the_reply_says_the_version_it_was_made_with(lite: World) -> None:
    for version in ("2.1", "2.26", f"2.{MAXIMUM}"):
        reply = await lite.call("GET", "/v2.1/servers", version=version, status=200)
        assert reply.headers["x-openstack-nova-api-version"] == version
        assert reply.headers["openstack-api-version"] == f"compute {version}"
        assert "X-OpenStack-Nova-API-Version" in reply.headers["vary"]
    plain = await lite.call("GET", "/v2.1/servers", status=200)
    assert plain.headers["x-openstack-nova-api-version"] == "2.1"
    refused = await lite.call("GET", "/v2.1/servers", version="2.9999", status=406)
    assert f"maximum is 2.{MAXIMUM}" in refused.json()["notAcceptable"]["message"]
    await lite.call("GET", "/v2.1/servers", version="newest", status=400)
    missing = await lite.call("GET", "/v2.1/servers/none", version="2.30", status=404)
    assert missing.headers["x-openstack-nova-api-version"] == "2.30"


async def test_versions_are_found_without_a_token(lite: World) -> None:
    listed = (await lite.http.get("/compute/")).json()["versions"]
    assert [version["id"] for version in listed] == ["v2.0", "v2.1"]
    assert (listed[0]["version"], listed[1]["version"]) == ("", f"2.{MAXIMUM}")
    for path, known in (("/compute/v2", listed[0]), ("/compute/v2.1", listed[1])):
        shown = (await lite.http.get(path)).json()["version"]
        assert shown["links"] == known["links"]
        assert len(shown["links"]) == 1
        assert shown["id"] == known["id"]


async def test_a_project_in_the_address_must_be_the_tokens(lite: World) -> None:
    await lite.call("GET", f"/v2.1/{ALICE}/servers", status=200)
    await lite.call("GET", f"/v2.1/{ALICE}/flavors/detail", status=200)
    await lite.call("GET", f"/v2.1/{BOB}/servers", status=400)


async def test_the_second_version_has_no_microversions(lite: World) -> None:
    reply = await lite.call("GET", "/v2/flavors/detail", version="2.61", status=200)
    assert "x-openstack-nova-api-version" not in reply.headers
    assert "description" not in reply.json()["flavors"][0]


async def test_everything_but_the_versions_needs_a_token(lite: World) -> None:
    for path in ("/servers", "/flavors", "/limits", "/os-keypairs", "/os-hypervisors", "/images", "/extensions"):
        reply = await lite.http.get(f"/compute/v2.1{path}")
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"].startswith("Keystone uri=")
        assert reply.json()["unauthorized"]["code"] == 401


async def test_there_is_nothing_where_nothing_is(lite: World) -> None:
    for path in ("/v2.1/no-such", "/v3/servers", "/v2.1/servers/x/y/z"):
        assert (await lite.call("GET", path, status=404)).json()["itemNotFound"]["code"] == 404
    await lite.call("DELETE", "/v2.1/servers", status=405)


async def test_the_image_proxy_ended_with_2_35(lite: World) -> None:
    (shown,) = (await lite.get("/images/detail", version="2.35"))["images"]
    assert (shown["name"], shown["status"], shown["OS-EXT-IMG-SIZE:size"]) == ("guest", "ACTIVE", 17_000_000)
    await lite.get(f"/images/{shown['id']}")
    await lite.call("DELETE", f"/v2.1/images/{shown['id']}", status=404)
    await lite.call("DELETE", f"/v2.1/images/{shown['id']}", by="admin", status=204)
    await lite.call("GET", f"/v2.1/images/{shown['id']}", status=404)
    await lite.call("GET", "/v2.1/images/detail", version="2.36", status=404)


async def test_an_empty_id_names_nothing(lite: World) -> None:
    for path in ("/v2.1/images/", "/v2.1/servers/", f"/v2.1/{ALICE}/os-keypairs/"):
        await lite.call("DELETE", path, status=404)
        await lite.call("GET", path, status=404)
    assert (await lite.http.get("/compute/v2.1/")).status_code == 200
