"""The realm file holds together, and Keycloak's files are for their owner's eyes."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.deploy import keycloak
from infra.deploy.realm import realm
from infra.domain.identity import ROLES
from infra.settings import DeploySettings, KeycloakSettings, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        state_dir=tmp_path,
        keycloak=KeycloakSettings(
            url="http://127.0.0.1:1234",
            realm="test",
            client_id="api",
            client_secret=SecretStr("first"),
            worker_client_id="worker",
            worker_client_secret=SecretStr("second"),
        ),
        deploy=DeploySettings(keycloak_admin_password=SecretStr("third")),
    )


def test_names_and_secrets_come_from_the_settings(settings: Settings) -> None:
    made = json.loads(json.dumps(realm(settings)))
    assert made["realm"] == "test"
    clients = {client["clientId"]: client for client in made["clients"]}
    assert {name: client["secret"] for name, client in clients.items()} == {"api": "first", "worker": "second"}
    assert [role["name"] for role in made["roles"]["client"]["api"]] == list(ROLES)


def test_every_scope_that_a_client_has_is_there(settings: Settings) -> None:
    made = json.loads(json.dumps(realm(settings)))
    there = {scope["name"] for scope in made["clientScopes"]}
    for client in made["clients"]:
        assert {*client["defaultClientScopes"], *client["optionalClientScopes"]} <= there
    assert {*made["defaultDefaultClientScopes"], *made["defaultOptionalClientScopes"]} <= there


def test_people_do_not_sign_in_as_workers(settings: Settings) -> None:
    made = json.loads(json.dumps(realm(settings)))
    worker = next(client for client in made["clients"] if client["clientId"] == "worker")
    assert not worker["directAccessGrantsEnabled"]
    assert not worker["standardFlowEnabled"]
    assert not made["registrationAllowed"]


def test_the_realm_file_is_its_owners(settings: Settings) -> None:
    keycloak.write_realm(settings, realm(settings))
    keycloak.write_realm(settings, realm(settings))
    file = keycloak.home(settings) / "data" / "import" / "test-realm.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["realm"] == "test"


def test_no_secret_is_on_the_command_line(settings: Settings) -> None:
    line = " ".join(keycloak.command(settings))
    assert "--http-host=127.0.0.1 --http-port=1234" in line
    assert not any(secret in line for secret in ("first", "second", "third"))
    assert keycloak.environment(settings)["KC_BOOTSTRAP_ADMIN_PASSWORD"] == "third"
