"""Sign-in, tokens and discovery as clients speak them, on the provider in memory."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from infra.domain.errors import Unavailable
from tests.api.identity.conftest import DEFAULT, PASSWORD, World

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


async def test_discovery(world: World) -> None:
    versions = await world.client.get("/")
    assert versions.status_code == 300
    (only,) = versions.json()["versions"]["values"]
    assert (await world.client.get("/v3")).json() == {"version": only}
    assert only["id"] == "v3.14"
    assert only["links"] == [{"rel": "self", "href": "http://cloud.example/identity/v3/"}]
    assert only["media-types"] == [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}]


async def test_a_project_token(world: World) -> None:
    answer = await world.sign_in(scope={"project": {"name": "demo", "domain": {"name": "Default"}}})
    assert answer.status_code == 201
    assert answer.headers["vary"] == "X-Auth-Token"
    token = answer.json()["token"]
    domain = {"id": "default", "name": "Default"}
    assert token["user"] == {
        "id": world.demo.id,
        "name": "Demo",
        "domain": domain,
        "password_expires_at": None,
    }
    assert token["project"] == {"id": world.project.id, "name": "demo", "domain": domain}
    assert [role["name"] for role in token["roles"]] == ["member", "reader"]
    assert token["methods"] == ["password"]
    assert MOMENT.fullmatch(token["expires_at"])
    assert MOMENT.fullmatch(token["issued_at"])
    assert len(token["audit_ids"]) == 1
    assert "system" not in token


async def test_the_catalog(world: World) -> None:
    token = await world.token()
    found = (await world.ask("GET", "/auth/catalog", token)).json()["catalog"]
    urls = {entry["type"]: {endpoint["url"] for endpoint in entry["endpoints"]} for entry in found}
    base = "http://cloud.example"
    assert urls == {
        "identity": {f"{base}/identity"},
        "compute": {f"{base}/compute/v2.1"},
        "image": {f"{base}/image"},
        "network": {f"{base}/network"},
        "block-storage": {f"{base}/volume/v3"},
        "volumev3": {f"{base}/volume/v3"},
        "placement": {f"{base}/placement"},
    }
    for entry in found:
        assert {endpoint["interface"] for endpoint in entry["endpoints"]} == {"public", "internal", "admin"}
        assert {endpoint["region"] for endpoint in entry["endpoints"]} == {"RegionOne"}
    shown = await world.ask("GET", "/auth/tokens?nocatalog", token, headers={"X-Subject-Token": token})
    assert "catalog" not in shown.json()["token"]


async def test_unscoped_and_system_tokens(world: World) -> None:
    for scope in (None, "unscoped"):
        unscoped = (await world.sign_in(scope=scope)).json()["token"]
        assert not {"project", "system", "roles", "catalog"} & unscoped.keys()
    system = (await world.sign_in("admin", {"system": {"all": True}})).json()["token"]
    assert system["system"] == {"all": True}
    assert [role["name"] for role in system["roles"]] == ["admin", "manager", "member", "reader"]
    assert "project" not in system
    assert (await world.sign_in("Demo", {"system": {"all": True}})).status_code == 401
    unscoped_token = await world.token(project=None)
    assert (await world.ask("GET", "/auth/catalog", unscoped_token)).status_code == 403


async def test_sign_in_by_id_without_a_domain(world: World) -> None:
    user = {"id": world.demo.id, "password": PASSWORD}
    answer = await world.sign_in(password={"user": user}, scope={"project": {"id": world.project.id}})
    assert answer.json()["token"]["project"]["id"] == world.project.id


async def test_the_token_method_rescopes(world: World) -> None:
    unscoped = await world.token(project=None)
    auth = {
        "identity": {"methods": ["token"], "token": {"id": unscoped}},
        "scope": {"project": {"id": world.project.id}},
    }
    answer = await world.client.post("/v3/auth/tokens", json={"auth": auth})
    assert answer.status_code == 201
    token = answer.json()["token"]
    assert token["project"]["name"] == "demo"
    assert token["methods"] == ["password", "token"]
    auth["scope"] = {"project": {"id": world.other.id}}
    assert (await world.client.post("/v3/auth/tokens", json={"auth": auth})).status_code == 401


@pytest.mark.parametrize(
    ("scope", "identity"),
    [
        (None, {"password": {"user": {"name": "Demo", "password": "wrong", **DEFAULT}}}),
        (None, {"password": {"user": {"name": "nobody", "password": PASSWORD, **DEFAULT}}}),
        (None, {"password": {"user": {"id": "0" * 32, "password": PASSWORD}}}),
        (None, {"password": {"user": {"name": "Demo", "password": PASSWORD, "domain": {"name": "other"}}}}),
        (None, {"methods": ["token"], "token": {"id": "eyJ"}}),
        (None, {"methods": ["password"], "password": None}),
        (None, {"methods": ["application_credential"]}),
        ({"project": {"name": "demo", "domain": {"id": "other"}}}, {}),
        ({"project": {"name": "admin", **DEFAULT}}, {}),
        ({"project": {"name": "nowhere", **DEFAULT}}, {}),
        ({"project": {"id": "demo"}}, {}),
        ({"domain": {"id": "default"}}, {}),
        ({"OS-TRUST:trust": {"id": "x"}}, {}),
    ],
)
async def test_refused_sign_ins_look_alike(world: World, scope: Any, identity: dict[str, Any]) -> None:
    answer = await world.sign_in(scope=scope, **identity)
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert (error["code"], error["title"]) == (401, "Unauthorized")
    assert "x-subject-token" not in answer.headers
    if identity.get("methods") != ["application_credential"]:
        assert error["message"] == "The request you have made requires authentication."


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"auth": {}},
        {"auth": {"identity": {}}},
        {"auth": {"identity": {"methods": []}}},
        {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "Demo", "password": "p"}}}}},
        {"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": "x", "password": "p" * 5000}}}}},
        {"auth": {"identity": {"methods": ["token"]}, "scope": {"project": {"id": "x"}, "system": {"all": True}}}},
        {"auth": {"identity": {"methods": ["token"]}, "scope": {"system": {"all": False}}}},
        {"auth": {"identity": {"methods": ["token"]}, "scope": {"project": {"name": "demo"}}}},
        "text",
    ],
)
async def test_malformed_sign_ins(world: World, body: Any) -> None:
    answer = await world.client.post("/v3/auth/tokens", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == 400


async def test_no_password_comes_back_in_an_error(world: World) -> None:
    secret = "s3cret" * 1000
    user = {"name": "Demo", "password": secret, **DEFAULT}
    answer = await world.sign_in(password={"user": user})
    assert answer.status_code == 400
    assert "s3cret" not in answer.text


async def test_show_check_and_revoke(world: World) -> None:
    subject, mine = await world.token(), await world.token()
    headers = {"X-Subject-Token": subject}
    created = await world.ask("GET", "/auth/tokens", mine, headers=headers)
    assert created.status_code == 200
    assert created.headers["x-subject-token"] == subject
    assert created.json()["token"]["user"]["id"] == world.demo.id
    head = await world.ask("HEAD", "/auth/tokens", mine, headers=headers)
    assert (head.status_code, head.content) == (200, b"")
    deleted = await world.ask("DELETE", "/auth/tokens", mine, headers=headers)
    assert (deleted.status_code, deleted.content) == (204, b"")
    for method in ("HEAD", "GET", "DELETE"):
        assert (await world.ask(method, "/auth/tokens", mine, headers=headers)).status_code == 404
    assert (await world.ask("GET", "/auth/projects", subject)).status_code == 401
    assert (await world.ask("GET", "/auth/projects", mine)).status_code == 200


async def test_what_is_shown_is_what_was_given(world: World) -> None:
    answer = await world.sign_in(scope={"project": {"id": world.project.id}})
    token = answer.headers["x-subject-token"]
    shown = await world.ask("GET", "/auth/tokens", token, headers={"X-Subject-Token": token})
    assert shown.json() == answer.json()


async def test_anothers_token_is_none_of_ones_business(world: World) -> None:
    admins, demos = await world.token("admin", "admin"), await world.token()
    for method in ("GET", "DELETE"):
        answer = await world.ask(method, "/auth/tokens", demos, headers={"X-Subject-Token": admins})
        assert answer.status_code == 403
    shown = await world.ask("GET", "/auth/tokens", admins, headers={"X-Subject-Token": demos})
    assert shown.status_code == 200
    missing = await world.ask("GET", "/auth/tokens", demos)
    assert missing.status_code == 404
    old = await world.ask("GET", "/auth/tokens?allow_expired=1", demos, headers={"X-Subject-Token": demos})
    assert old.status_code == 403


async def test_bearer_tokens_and_openid_connect_logins(world: World) -> None:
    headers = {"Authorization": f"Bearer {await world.token(project=None)}"}
    mine = await world.client.get("/v3/auth/projects", headers=headers)
    assert [item["name"] for item in mine.json()["projects"]] == ["demo"]
    path = "/v3/OS-FEDERATION/identity_providers/keycloak/protocols/openid/auth"
    login = await world.client.post(path, headers=headers)
    assert login.status_code == 201
    assert login.headers["x-subject-token"]
    assert "project" not in login.json()["token"]
    assert (await world.client.post(path)).status_code == 401
    assert (await world.client.post(path, headers={"Authorization": "Bearer x"})).status_code == 401


async def test_without_a_token(world: World) -> None:
    for path in ("/v3/projects", "/v3/users", "/v3/auth/catalog", "/v3/domains", "/v3/roles", "/v3/role_assignments"):
        for headers in ({}, {"X-Auth-Token": "x"}, {"X-Auth-Token": "x" * 20000}):
            answer = await world.client.get(path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Keystone uri=")
    assert (await world.as_admin("GET", "/nothing")).status_code == 404
    assert (await world.as_admin("GET", "/nothing")).json()["error"]["code"] == 404


async def test_changing_ones_own_password(world: World) -> None:
    token, path = await world.token(), f"/users/{world.demo.id}/password"
    wrong = {"user": {"password": "new", "original_password": "wrong"}}
    assert (await world.ask("POST", path, token, json=wrong)).status_code == 401
    right = {"user": {"password": "new", "original_password": PASSWORD}}
    other = f"/users/{world.admin.id}/password"
    assert (await world.ask("POST", other, token, json=right)).status_code == 403
    done = await world.ask("POST", path, token, json=right)
    assert (done.status_code, done.content) == (204, b"")
    assert (await world.sign_in()).status_code == 401
    new = {"user": {"name": "Demo", "password": "new", **DEFAULT}}
    assert (await world.sign_in(password=new)).status_code == 201


async def test_ones_own_scopes(world: World) -> None:
    demo, admin = await world.token(project=None), await world.token("admin", None)
    assert (await world.ask("GET", "/auth/system", demo)).json()["system"] == []
    assert (await world.ask("GET", "/auth/system", admin)).json()["system"] == [{"all": True}]
    assert (await world.ask("GET", "/auth/domains", demo)).json()["domains"] == []
    await world.identity.update_project(world.project.id, enabled=False)
    assert (await world.ask("GET", "/auth/projects", demo)).json()["projects"] == []


async def test_keycloak_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await world.token()

    async def down(*_: Any, **__: Any) -> Any:
        raise Unavailable("The Identity Service can't reach Keycloak.")

    calls: list[Callable[[], Awaitable[httpx.Response]]] = [
        lambda: world.sign_in(),
        lambda: world.ask("GET", "/auth/projects", token),
    ]
    for name in ("introspect", "password_token"):
        monkeypatch.setattr(world.identity, name, down)
    for call in calls:
        answer = await call()
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
