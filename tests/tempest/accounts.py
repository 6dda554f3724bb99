"""The projects and users that Tempest works as. Made in Keycloak; made again, they get new passwords."""

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.deploy import config
from infra.identity.keycloak import KeycloakProvider
from infra.settings import Settings


@dataclass(frozen=True)
class Account:
    user: str
    project: str | None
    """None: the whole system."""
    role: str


# Two processes run tests, and a class of tests takes up to two projects. Where it asks for any other user, it gets the
# first that is free: members stand before readers.
ACCOUNTS = (
    *(Account(f"tp_member{n}", f"tp{n}", "member") for n in range(1, 5)),
    *(Account(f"tp_reader{n}", f"tp{n}", "reader") for n in range(1, 5)),
    *(Account(f"tp_manager{n}", f"tp{n}", "manager") for n in range(1, 3)),
    *(Account(f"tp_admin{n}", "tpadmin", "admin") for n in range(1, 3)),
    *(Account(f"tp_sysreader{n}", None, "reader") for n in range(1, 3)),
)


def ensure(settings: Settings, file: Path, network: str) -> dict[str, str]:
    """Have every account, write ``file`` for Tempest, and return the projects' ids by name.

    Raises:
        KilonovaError: Keycloak refuses, or does not answer.
    """
    passwords = {account.user: secrets.token_urlsafe(16) for account in ACCOUNTS}
    projects = asyncio.run(_people(settings, passwords))
    entries = [_entry(account, passwords[account.user], network) for account in ACCOUNTS]
    config.write_private(file, yaml.safe_dump(entries, sort_keys=False))
    return projects


async def _people(settings: Settings, passwords: dict[str, str]) -> dict[str, str]:
    provider = KeycloakProvider(settings)
    try:
        names = sorted({account.project for account in ACCOUNTS if account.project})
        projects = {name: await _project(provider, name) for name in names}
        for account in ACCOUNTS:
            user_id = await _user(provider, account.user, passwords[account.user])
            where = projects[account.project] if account.project else None
            if account.role not in await provider.roles_of(user_id, where):
                await provider.grant(user_id, where, account.role)
        return projects
    finally:
        await provider.close()


async def _project(provider: KeycloakProvider, name: str) -> str:
    found = await provider.projects(name)
    return (found[0] if found else await provider.create_project(name)).id


async def _user(provider: KeycloakProvider, name: str, password: str) -> str:
    found = await provider.users(name)
    if found:
        return (await provider.update_user(found[0].id, password=password)).id
    return (await provider.create_user(name, password)).id


def _entry(account: Account, password: str, network: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"username": account.user, "password": password, "user_domain_name": "Default"}
    if account.project is None:
        return entry | {"system": "all", "roles": [account.role]}
    entry |= {"project_name": account.project, "project_domain_name": "Default", "roles": [account.role]}
    if account.role == "admin":
        entry["types"] = ["admin"]
    if account.role == "member":
        entry["resources"] = {"network": network}
    return entry
