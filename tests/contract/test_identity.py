"""What every identity provider does: the one in memory, and the real one on a Keycloak server."""

import asyncio
import json
import os
import secrets
import socket
import subprocess
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.deploy import keycloak, realm
from infra.domain.errors import Conflict, NotFound, Unauthorized, Unavailable
from infra.domain.identity import Project, User
from infra.identity.fake import FakeIdentity
from infra.identity.keycloak import KeycloakProvider
from infra.identity.provider import IdentityProvider, ServiceTokens
from infra.identity.service import ClientCredentials
from infra.settings import KeycloakSettings, Settings

PASSWORD = "correct horse"


@dataclass
class World:
    provider: IdentityProvider
    service: ServiceTokens
    user: User
    project: Project

    async def token(self, *, system: bool = False, scoped: bool = True) -> str:
        project = self.project.id if scoped and not system else None
        return await self.provider.password_token(self.user.name, PASSWORD, project=project, system=system)


def unique(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(4)}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def server_settings(state: Path) -> Settings:
    """Settings of a server of its own, on the distribution that the developer stack keeps."""
    kept = Settings().state / "keycloak-dist"
    kept.mkdir(parents=True, exist_ok=True)
    (state / "keycloak-dist").symlink_to(kept)
    secret, worker_secret = SecretStr(secrets.token_urlsafe(16)), SecretStr(secrets.token_urlsafe(16))
    return Settings(
        state_dir=state,
        keycloak=KeycloakSettings(
            url=f"http://127.0.0.1:{free_port()}",
            client_secret=secret,
            worker_client_secret=worker_secret,
            introspection_seconds=0,
        ),
    )


@pytest.fixture(scope="session")
def keycloak_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a Keycloak server with an empty realm, started for this run."""
    settings = server_settings(tmp_path_factory.mktemp("keycloak"))
    keycloak.install(settings)
    keycloak.write_realm(settings, realm.realm(settings))
    log = (settings.state / "log").open("wb")
    environment = {**os.environ, **keycloak.environment(settings)}
    server = subprocess.Popen(keycloak.command(settings), env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 180
        while not keycloak.answers(settings):
            assert server.poll() is None, (settings.state / "log").read_text()
            assert time.monotonic() < deadline, "Keycloak does not answer."
        yield settings
    finally:
        server.terminate()
        server.wait(60)
        log.close()


@pytest.fixture(params=["fake", pytest.param("keycloak", marks=pytest.mark.keycloak)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A provider that asks for the state of things each time, with a user who is member of a project."""
    provider: IdentityProvider
    service: ServiceTokens
    if request.param == "fake":
        provider = service = FakeIdentity(remember_seconds=0)
    else:
        settings = request.getfixturevalue("keycloak_server")
        provider, service = KeycloakProvider(settings), ClientCredentials(settings.keycloak)
    user = await provider.create_user(unique("User"), PASSWORD)
    project = await provider.create_project(unique("Project"), "first")
    await provider.grant(user.id, project.id, "member")
    yield World(provider, service, user, project)
    await provider.close()


async def test_a_project_token_says_who_where_and_which_roles(world: World) -> None:
    identity = await world.provider.verify(await world.token())
    assert (identity.user_id, identity.user_name) == (world.user.id, world.user.name)
    assert (identity.project_id, identity.project_name) == (world.project.id, world.project.name)
    assert identity.roles == {"member", "reader"}
    assert not identity.system
    assert identity.expires_at > identity.issued_at


async def test_projects_and_users_are_found_by_name_and_by_id(world: World) -> None:
    for project in (world.project.id, world.project.name):
        for user, by_id in ((world.user.name, False), (world.user.id, True)):
            token = await world.provider.password_token(user, PASSWORD, by_id=by_id, project=project)
            assert (await world.provider.verify(token)).project_id == world.project.id


async def test_an_unscoped_token_has_no_roles(world: World) -> None:
    identity = await world.provider.verify(await world.token(scoped=False))
    assert identity.project_id is None
    assert not identity.system
    assert identity.roles == frozenset()


async def test_the_system_scope_has_the_roles_given_on_the_system_only(world: World) -> None:
    await world.provider.grant(world.user.id, world.project.id, "admin")
    with pytest.raises(Unauthorized):
        await world.token(system=True)
    await world.provider.grant(world.user.id, None, "reader")
    identity = await world.provider.verify(await world.token(system=True))
    assert (identity.system, identity.project_id, identity.roles) == (True, None, {"reader"})
    in_project = await world.provider.verify(await world.token())
    assert "admin" in in_project.roles
    assert not in_project.system


async def test_sign_in_is_refused_the_same_way_whatever_is_wrong(world: World) -> None:
    other = await world.provider.create_project(unique("other"))
    attempts = [
        {"user": world.user.name, "password": "wrong"},
        {"user": unique("nobody"), "password": PASSWORD},
        {"user": "0" * 32, "password": PASSWORD, "by_id": True},
        {"user": "../../master", "password": PASSWORD, "by_id": True},
        {"user": world.user.name, "password": PASSWORD, "project": unique("nowhere")},
        {"user": world.user.name, "password": PASSWORD, "project": other.name},
        {"user": world.user.name, "password": PASSWORD, "project": other.id},
        {"user": world.user.name, "password": PASSWORD, "project": "x system"},
        {"user": world.user.name, "password": PASSWORD, "system": True},
        {"user": world.user.name, "password": ""},
    ]
    messages = set()
    for attempt in attempts:
        with pytest.raises(Unauthorized) as refused:
            await world.provider.password_token(**attempt)  # type: ignore[arg-type]
        messages.add(refused.value.message)
    assert len(messages) == 1


async def test_a_token_is_exchanged_for_one_of_another_scope(world: World) -> None:
    second = await world.provider.create_project(unique("second"))
    await world.provider.grant(world.user.id, second.id, "reader")
    unscoped = await world.token(scoped=False)
    first = await world.provider.rescope(unscoped, project=world.project.name)
    other = await world.provider.rescope(first, project=second.id)
    verify = world.provider.verify
    assert (await verify(first)).project_id == world.project.id
    assert ((await verify(other)).project_id, (await verify(other)).roles) == (second.id, {"reader"})
    assert (await verify(await world.provider.rescope(other))).roles == frozenset()
    assert (await verify(other)).expires_at <= (await verify(unscoped)).expires_at
    with pytest.raises(Unauthorized):
        await world.provider.rescope(unscoped, system=True)
    with pytest.raises(Unauthorized):
        await world.provider.rescope(unscoped, project=unique("nowhere"))


async def test_revoking_ends_a_token_and_what_came_of_it_but_no_other(world: World) -> None:
    first, second = await world.token(), await world.token()
    exchanged = await world.provider.rescope(first, project=world.project.id)
    await world.provider.revoke(first)
    for token in (first, exchanged):
        with pytest.raises(Unauthorized):
            await world.provider.verify(token)
        with pytest.raises(Unauthorized):
            await world.provider.rescope(token)
    assert (await world.provider.verify(second)).user_id == world.user.id


async def test_roles_are_as_they_are_now(world: World) -> None:
    token = await world.token()
    await world.provider.grant(world.user.id, world.project.id, "admin")
    assert "admin" in (await world.provider.verify(token)).roles
    await world.provider.revoke_role(world.user.id, world.project.id, "admin")
    assert (await world.provider.verify(token)).roles == {"member", "reader"}
    await world.provider.revoke_role(world.user.id, world.project.id, "member")
    with pytest.raises(Unauthorized):
        await world.provider.verify(token)
    assert world.project not in await world.provider.user_projects(world.user.id)


async def test_a_system_role_taken_away_ends_the_token(world: World) -> None:
    await world.provider.grant(world.user.id, None, "admin")
    token = await world.token(system=True)
    assert (await world.provider.verify(token)).has("admin")
    await world.provider.revoke_role(world.user.id, None, "admin")
    with pytest.raises(Unauthorized):
        await world.provider.verify(token)


async def test_disabled_and_deleted_users_and_projects_are_out(world: World) -> None:
    token, unscoped = await world.token(), await world.token(scoped=False)
    await world.provider.update_project(world.project.id, enabled=False)
    with pytest.raises(Unauthorized):
        await world.provider.verify(token)
    with pytest.raises(Unauthorized):
        await world.token()
    await world.provider.update_project(world.project.id, enabled=True)
    await world.provider.update_user(world.user.id, enabled=False)
    for refused in (token, unscoped):
        with pytest.raises(Unauthorized):
            await world.provider.verify(refused)
    with pytest.raises(Unauthorized):
        await world.token()
    await world.provider.update_user(world.user.id, enabled=True)
    token = await world.token()
    await world.provider.delete_project(world.project.id)
    with pytest.raises(Unauthorized):
        await world.provider.verify(token)
    token = await world.token(scoped=False)
    await world.provider.delete_user(world.user.id)
    with pytest.raises(Unauthorized):
        await world.provider.verify(token)


async def test_the_workers_token(world: World) -> None:
    token = await world.service.token()
    identity = await world.provider.verify(token)
    assert identity.roles == {"service"}
    assert identity.project_id is None


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


@pytest.mark.keycloak
async def test_the_token_is_keycloaks_own(keycloak_server: Settings) -> None:
    provider = KeycloakProvider(keycloak_server)
    name = unique("user")
    await provider.create_user(name, PASSWORD)
    payload = (await provider.password_token(name, PASSWORD)).split(".")[1]
    claims = json.loads(urlsafe_b64decode(payload + "=="))
    assert claims["iss"] == f"{keycloak_server.keycloak.url}/realms/{keycloak_server.keycloak.realm}"
    await provider.close()


@pytest.mark.keycloak
async def test_tokens_of_another_kind_are_refused(keycloak_server: Settings) -> None:
    """An id token has the right signature, issuer and audience, and a refresh token the right issuer."""
    provider = KeycloakProvider(keycloak_server)
    name = unique("user")
    await provider.create_user(name, PASSWORD)
    answer = await provider._connection.openid.a_token(name, PASSWORD, scope="openid")
    assert (await provider.verify(answer["access_token"])).user_name == name
    with pytest.raises(Unauthorized):
        await provider.verify(answer["id_token"])
    await provider.close()


@pytest.mark.keycloak
async def test_a_realm_that_is_not_there(keycloak_server: Settings) -> None:
    """Neither a server that is down nor a wrong secret is the user's fault."""
    down = keycloak_server.keycloak.model_copy(update={"url": f"http://127.0.0.1:{free_port()}"})
    wrong = keycloak_server.keycloak.model_copy(update={"client_secret": SecretStr("wrong")})
    token = await ClientCredentials(keycloak_server.keycloak).token()
    for broken in (down, wrong):
        provider = KeycloakProvider(keycloak_server.model_copy(update={"keycloak": broken}))
        with pytest.raises(Unavailable):
            await provider.password_token("somebody", PASSWORD)
        with pytest.raises(Unavailable):
            await provider.projects()
        with pytest.raises(Unavailable):
            await provider.verify(token)
        await provider.close()
    with pytest.raises(Unavailable):
        await ClientCredentials(down).token()
