"""The projects, users and roles that a new stack has. They live in Keycloak; done again, nothing changes."""

from collections.abc import Mapping

from pydantic import SecretStr

from infra.identity.provider import IdentityProvider

# User, project (None: the whole system), role.
GRANTS: tuple[tuple[str, str | None, str], ...] = (
    ("demo", "demo", "member"),
    ("reader", "demo", "reader"),
    ("admin", "admin", "admin"),
    ("admin", "demo", "admin"),
    ("admin", None, "admin"),
)


async def ensure(provider: IdentityProvider, passwords: Mapping[str, SecretStr]) -> None:
    """Create what is missing, for those users that ``passwords`` has. A user who is there keeps the password.

    Raises:
        KilonovaError: the provider refuses, or does not answer.
    """
    wanted = {project for user, project, _ in GRANTS if project and user in passwords} | {"service"}
    projects = {name: await _project(provider, name) for name in sorted(wanted)}
    users = {name: await _user(provider, name, secret.get_secret_value()) for name, secret in passwords.items()}
    for user, project, role in GRANTS:
        if user not in users:
            continue
        where = projects[project] if project else None
        if role not in await provider.roles_of(users[user], where):
            await provider.grant(users[user], where, role)


async def _project(provider: IdentityProvider, name: str) -> str:
    found = await provider.projects(name)
    return (found[0] if found else await provider.create_project(name)).id


async def _user(provider: IdentityProvider, name: str, password: str) -> str:
    found = await provider.users(name)
    return (found[0] if found else await provider.create_user(name, password)).id
