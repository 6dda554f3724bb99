"""Signing in, scopes and the end of tokens, on every provider."""

import asyncio
import json
import time
from base64 import urlsafe_b64decode

import pytest
from pydantic import SecretStr

from infra.deploy.realm import TOKEN_SECONDS
from infra.domain.errors import Unauthorized, Unavailable
from infra.identity.keycloak import KeycloakProvider
from infra.identity.service import ClientCredentials
from infra.settings import Settings
from tests.contract.identity.conftest import PASSWORD, World, free_port, unique


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


async def test_a_user_may_sign_in_many_times_at_once(world: World) -> None:
    names = [world.user.name, world.user.name.upper()] * 4
    tokens = await asyncio.gather(*(world.provider.password_token(name, PASSWORD) for name in names))
    assert {(await world.provider.verify(token)).user_id for token in tokens} == {world.user.id}


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


async def test_an_expired_token_beside_a_service_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is judged by the roles, the user and the project as they are now."""
    provider, token, unscoped = world.provider, await world.token(), await world.token(scoped=False)
    later = time.time() + TOKEN_SECONDS + 60
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(Unauthorized):
        await provider.verify(token)
    identity = await provider.verify(token, allow_expired=True)
    assert (identity.project_name, identity.roles) == (world.project.name, {"member", "reader"})
    assert (await provider.verify(unscoped, allow_expired=True)).roles == frozenset()
    await provider.grant(world.user.id, world.project.id, "manager")
    assert "manager" in (await provider.verify(token, allow_expired=True)).roles
    await provider.update_project(world.project.id, enabled=False)
    with pytest.raises(Unauthorized):
        await provider.verify(token, allow_expired=True)
    await provider.update_project(world.project.id, enabled=True)
    for role in ("manager", "member"):
        await provider.revoke_role(world.user.id, world.project.id, role)
    with pytest.raises(Unauthorized):
        await provider.verify(token, allow_expired=True)
    await provider.delete_user(world.user.id)
    with pytest.raises(Unauthorized):
        await provider.verify(unscoped, allow_expired=True)
