"""Projects, users, roles and the catalog's resources, and who may do what to them."""

from typing import Any

import pytest

from tests.api.identity.conftest import PASSWORD, World


async def test_projects(world: World) -> None:
    given = {"name": "New", "description": "what for", "enabled": True, "tags": ["b", "a"], "domain_id": "default"}
    made = await world.as_admin("POST", "/projects", json={"project": given})
    assert made.status_code == 201
    project = made.json()["project"]
    assert project.items() >= {**given, "parent_id": "default", "is_domain": False, "options": {}}.items()
    path = f"/projects/{project['id']}"
    assert project["links"] == {"self": f"http://cloud.example/identity/v3{path}"}
    assert (await world.as_admin("GET", path)).json()["project"] == project
    listed = (await world.as_admin("GET", "/projects")).json()
    assert project in listed["projects"]
    assert listed["links"]["next"] is None
    for query, count in (
        ("name=New", 1), ("name=nowhere", 0), ("enabled=0&name=New", 0), ("domain_id=other", 0), ("tags=a,b", 1),
        ("tags=c", 0), ("is_domain=True", 0), ("parent_id=default&name=New", 1),
    ):  # fmt: skip
        assert len((await world.as_admin("GET", f"/projects?{query}")).json()["projects"]) == count, query
    changed = await world.as_admin("PATCH", path, json={"project": {"name": "Newer", "enabled": False}})
    assert changed.json()["project"].items() >= {"name": "Newer", "enabled": False, "description": "what for"}.items()
    deleted = await world.as_admin("DELETE", path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    for method in ("GET", "DELETE"):
        assert (await world.as_admin(method, path)).status_code == 404


async def test_project_tags(world: World) -> None:
    path = f"/projects/{world.project.id}/tags"
    assert (await world.as_admin("PUT", path, json={"tags": ["a"]})).json()["tags"] == ["a"]
    assert (await world.as_admin("PUT", f"{path}/b")).status_code == 201
    assert (await world.as_admin("GET", path)).json()["tags"] == ["a", "b"]
    assert (await world.as_admin("HEAD", f"{path}/b")).status_code == 204
    assert (await world.as_admin("DELETE", f"{path}/b")).status_code == 204
    assert (await world.as_admin("GET", f"{path}/b")).status_code == 404
    assert (await world.as_admin("PUT", f"{path}/a,b")).status_code == 400
    assert (await world.as_admin("DELETE", path)).status_code == 204
    assert (await world.as_admin("GET", path)).json()["tags"] == []


@pytest.mark.parametrize(
    ("project", "status"),
    [
        ({}, 400),
        ({"name": ""}, 400),
        ({"name": "   "}, 400),
        ({"name": "x" * 65}, 400),
        ({"name": "a\nb"}, 400),
        ({"name": "a\x00b"}, 400),
        ({"name": "x", "enabled": "perhaps"}, 400),
        ({"name": "x", "colour": "red"}, 400),
        ({"name": "x", "parent_id": "0" * 32}, 400),
        ({"name": "x", "is_domain": True}, 400),
        ({"name": "x", "tags": ["a", "a"]}, 400),
        ({"name": "x", "tags": ["a/b"]}, 400),
        ({"name": "x", "description": "d" * 256}, 400),
        ({"name": "x", "domain_id": "other"}, 404),
        ({"name": "demo"}, 409),
    ],
)
async def test_bad_projects_leave_nothing(world: World, project: dict[str, Any], status: int) -> None:
    before = await world.identity.projects()
    answer = await world.as_admin("POST", "/projects", json={"project": project})
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert await world.identity.projects() == before


async def test_users(world: World) -> None:
    given = {"name": "Anna", "email": "anna@example.org", "description": "new", "enabled": True}
    made = await world.as_admin("POST", "/users", json={"user": given | {"password": PASSWORD, "options": {}}})
    assert made.status_code == 201
    user = made.json()["user"]
    assert user.items() >= {**given, "domain_id": "default", "password_expires_at": None}.items()
    assert "password" not in user
    path = f"/users/{user['id']}"
    assert (await world.as_admin("GET", path)).json()["user"] == user
    assert (await world.as_admin("GET", "/users?name=Anna")).json()["users"] == [user]
    assert (await world.as_admin("GET", "/users?name=Anna&enabled=false")).json()["users"] == []
    assert await world.token("Anna", None)
    changed = await world.as_admin("PATCH", path, json={"user": {"enabled": False, "name": "Annie"}})
    assert changed.json()["user"].items() >= {"name": "Annie", "enabled": False}.items()
    assert (await world.sign_in("Annie")).status_code == 401
    assert (await world.as_admin("DELETE", path)).status_code == 204
    assert (await world.as_admin("GET", path)).status_code == 404
    for bad in ({"name": ""}, {"name": "x", "email": "nothing"}, {"name": "x", "shoe": 42}, {"name": "x\r\ny"}):
        assert (await world.as_admin("POST", "/users", json={"user": bad})).status_code == 400
    assert (await world.as_admin("POST", "/users", json={"user": {"name": "demo"}})).status_code == 409


async def test_roles_are_the_fixed_ones(world: World) -> None:
    listed = (await world.as_admin("GET", "/roles")).json()["roles"]
    assert [role["name"] for role in listed] == ["admin", "manager", "member", "reader", "service"]
    (member,) = (await world.as_admin("GET", "/roles?name=member")).json()["roles"]
    assert (await world.as_admin("GET", f"/roles/{member['id']}")).json()["role"] == member
    assert (await world.as_admin("GET", "/roles/cook")).status_code == 404


async def test_grants(world: World) -> None:
    for where, place in ((f"/projects/{world.other.id}", world.other.id), ("/system", None)):
        path = f"{where}/users/{world.demo.id}/roles"
        assert (await world.as_admin("HEAD", f"{path}/manager")).status_code == 404
        for _ in range(2):
            done = await world.as_admin("PUT", f"{path}/manager")
            assert (done.status_code, done.content) == (204, b"")
        assert (await world.as_admin("HEAD", f"{path}/manager")).status_code == 204
        assert [role["id"] for role in (await world.as_admin("GET", path)).json()["roles"]] == ["manager"]
        assert await world.identity.roles_of(world.demo.id, place) == ["manager"]
        # A project in the query is not the place of a grant on the system.
        assert (await world.as_admin("DELETE", f"{path}/manager?project_id={world.project.id}")).status_code == 204
        assert (await world.as_admin("DELETE", f"{path}/manager")).status_code == 404
        assert (await world.as_admin("PUT", f"{path}/cook")).status_code == 404
    assert await world.identity.roles_of(world.demo.id, world.project.id) == ["member"]
    assert (await world.as_admin("PUT", f"/projects/{'0' * 32}/users/{world.demo.id}/roles/member")).status_code == 404


async def test_role_assignments(world: World) -> None:
    async def listed(query: str) -> list[tuple[str, str]]:
        found = (await world.as_admin("GET", f"/role_assignments?{query}")).json()["role_assignments"]
        return sorted((item["user"]["id"], item["role"]["id"]) for item in found)

    demo, admin = world.demo.id, world.admin.id
    assert await listed("") == sorted([(demo, "member"), (admin, "admin"), (admin, "admin")])
    assert await listed(f"user.id={demo}") == [(demo, "member")]
    assert await listed(f"user.id={demo}&effective") == [(demo, "member"), (demo, "reader")]
    assert await listed(f"scope.project.id={world.project.id}") == [(demo, "member")]
    assert await listed("scope.system=all") == [(admin, "admin")]
    assert await listed("role.id=member") == [(demo, "member")]
    assert await listed("group.id=x") == []
    (item,) = (await world.as_admin("GET", f"/role_assignments?include_names=True&user.id={demo}")).json()[
        "role_assignments"
    ]
    domain = {"id": "default", "name": "Default"}
    assert item["user"] == {"id": demo, "name": "Demo", "domain": domain}
    assert item["scope"] == {"project": {"id": world.project.id, "name": "demo", "domain": domain}}
    assert item["role"]["name"] == "member"


async def test_members_see_their_own_and_change_nothing(world: World) -> None:
    token = await world.token()
    allowed = (
        f"/users/{world.demo.id}",
        f"/users/{world.demo.id}/projects",
        f"/projects/{world.project.id}",
        "/auth/projects",
        "/domains/default",
        "/regions",
    )
    for path in allowed:
        assert (await world.ask("GET", path, token)).status_code == 200, path
    refused: list[tuple[str, str, Any]] = [
        ("GET", "/users", None),
        ("GET", "/projects", None),
        ("GET", f"/users/{world.admin.id}", None),
        ("GET", f"/users/{world.admin.id}/projects", None),
        ("GET", f"/projects/{world.other.id}", None),
        ("GET", "/role_assignments", None),
        ("GET", "/services", None),
        ("POST", "/projects", {"project": {"name": "x"}}),
        ("PATCH", f"/projects/{world.project.id}", {"project": {"name": "x"}}),
        ("DELETE", f"/projects/{world.project.id}", None),
        ("POST", "/users", {"user": {"name": "x"}}),
        ("PATCH", f"/users/{world.demo.id}", {"user": {"name": "x"}}),
        ("DELETE", f"/users/{world.admin.id}", None),
        ("PUT", f"/projects/{world.project.id}/users/{world.demo.id}/roles/admin", None),
        ("PUT", f"/system/users/{world.demo.id}/roles/admin", None),
        ("DELETE", f"/projects/{world.other.id}/users/{world.admin.id}/roles/admin", None),
    ]
    for method, path, body in refused:
        answer = await world.ask(method, path, token, json=body)
        assert answer.status_code == 403, (method, path, answer.text)


async def test_system_readers_see_everything_and_change_nothing(world: World) -> None:
    await world.identity.grant(world.demo.id, None, "reader")
    token = (await world.sign_in(scope={"system": {"all": True}})).headers["x-subject-token"]
    for path in ("/users", "/projects", "/role_assignments", "/roles", "/services", "/endpoints"):
        assert (await world.ask("GET", path, token)).status_code == 200, path
    assert (await world.ask("POST", "/projects", token, json={"project": {"name": "x"}})).status_code == 403


async def test_catalog_resources(world: World) -> None:
    (compute,) = (await world.as_admin("GET", "/services?type=compute")).json()["services"]
    assert (await world.as_admin("GET", f"/services/{compute['id']}")).json()["service"] == compute
    found = (await world.as_admin("GET", f"/endpoints?service_id={compute['id']}&interface=public")).json()
    (endpoint,) = found["endpoints"]
    assert endpoint["url"] == "http://cloud.example/compute/v2.1"
    assert (await world.as_admin("GET", f"/endpoints/{endpoint['id']}")).json()["endpoint"] == endpoint
    assert (await world.as_admin("GET", "/regions/RegionOne")).status_code == 200
    for path in ("/services/x", "/endpoints/x", "/regions/x", "/domains/x"):
        assert (await world.as_admin("GET", path)).status_code == 404
