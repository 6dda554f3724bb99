"""The identity providers: the one in memory, and the real one on a Keycloak server of its own."""

import contextlib
import os
import secrets
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.deploy import keycloak, realm
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
            assert time.monotonic() < deadline, "Keycloak does not answer."
            # Pauses, unless the server ends meanwhile.
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.5)
                pytest.fail((settings.state / "log").read_text())
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
