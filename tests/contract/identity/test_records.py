"""Users, projects and roles, on every provider."""

import asyncio

import pytest

from infra.domain.errors import Conflict, NotFound, Unauthorized
from tests.contract.identity.conftest import PASSWORD, World, unique


async def test_projects(world: World) -> None:
    provider, name = world.provider, unique("Ünïcode & <b>'\"/..;%")
    made = await provider.create_project(name, "what it is for")
    assert await provider.project(made.id) == made
    assert await provider.projects(name) == [made]
    assert made in await provider.projects()
    with pytest.raises(Conflict):
        await provider.create_project(name)
    changed = await provider.update_project(made.id, name=name + "2", description="", enabled=False)
    assert (changed.name, changed.description, changed.enabled) == (name + "2", "", False)
    assert await provider.project(made.id) == changed
    assert await provider.projects(name) == []
    with pytest.raises(Conflict):
        await provider.update_project(made.id, name=world.project.name)
    await provider.delete_project(made.id)
    for call in (provider.project, provider.delete_project):
        with pytest.raises(NotFound):
            await call(made.id)
    with pytest.raises(NotFound):
        await provider.project("../../../master")


async def test_users(world: World) -> None:
    provider, name = world.provider, unique("Anna.Übung@example")
    made = await provider.create_user(name, PASSWORD, "anna@example.org", description="first of her name")
    assert (made.name, made.email, made.description) == (name, "anna@example.org", "first of her name")
    assert await provider.user(made.id) == made
    assert await provider.users(name) == [made]
    assert made in await provider.users()
    with pytest.raises(Conflict):
        await provider.create_user(name, None)
    token = await provider.password_token(name, PASSWORD)
    changed = await provider.update_user(made.id, name=name + "2", password="another", email="a@example.org")
    assert (changed.name, changed.email) == (name + "2", "a@example.org")
    assert await provider.user(made.id) == changed
    with pytest.raises(Unauthorized):
        await provider.password_token(changed.name, PASSWORD)
    assert await provider.password_token(changed.name, "another")
    assert token
    await provider.delete_user(made.id)
    for call in (provider.user, provider.delete_user, provider.user_projects):
        with pytest.raises(NotFound):
            await call(made.id)


async def test_names_of_one_letter(world: World) -> None:
    for name in "qx":
        for left in await world.provider.users(name):
            await world.provider.delete_user(left.id)
        user = await world.provider.create_user(name, PASSWORD)
        assert (await world.provider.verify(await world.provider.password_token(name, PASSWORD))).user_id == user.id


async def test_role_assignments(world: World) -> None:
    provider, user, project = world.provider, world.user, world.project
    await provider.grant(user.id, project.id, "reader")
    await provider.grant(user.id, project.id, "reader")
    await provider.grant(user.id, None, "manager")
    assert await provider.roles_of(user.id, project.id) == ["member", "reader"]
    assert await provider.roles_of(user.id, None) == ["manager"]
    mine = {(user.id, project.id, "member"), (user.id, project.id, "reader"), (user.id, None, "manager")}
    assert set(await provider.assignments(user_id=user.id)) == mine
    assert mine <= set(await provider.assignments())
    assert set(await provider.assignments(project_id=project.id)) == {item for item in mine if item[1]}
    assert [found.id for found in await provider.user_projects(user.id)] == [project.id]
    other = await provider.create_user(unique("other"), None)
    assert await provider.roles_of(other.id, project.id) == []
    for arguments in (
        (user.id, project.id, "cook"),
        ("0" * 32, project.id, "member"),
        (user.id, "0" * 32, "member"),
        (user.id, "../x", "member"),
    ):
        with pytest.raises(NotFound):
            await provider.grant(*arguments)
    for arguments in ((other.id, project.id, "member"), (other.id, None, "admin"), (user.id, project.id, "admin")):
        with pytest.raises(NotFound):
            await provider.revoke_role(*arguments)


async def test_more_projects_than_a_page_holds(world: World) -> None:
    made = [await world.provider.create_project(unique("many")) for _ in range(12)]
    for project in made:
        await world.provider.grant(world.user.id, project.id, "reader")
    everything = {project.id for project in await world.provider.projects()}
    assert {project.id for project in made} <= everything
    mine = {project.id for project in await world.provider.user_projects(world.user.id)}
    assert {project.id for project in made} <= mine
    for project in made:
        await world.provider.delete_project(project.id)


async def test_grants_at_the_same_moment_all_hold(world: World) -> None:
    users = [await world.provider.create_user(unique("u"), None) for _ in range(4)]
    await asyncio.gather(*(world.provider.grant(user.id, world.project.id, "manager") for user in users))
    held = await world.provider.assignments(project_id=world.project.id)
    assert {(user.id, world.project.id, "manager") for user in users} <= set(held)
