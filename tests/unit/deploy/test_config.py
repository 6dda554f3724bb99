"""The stack's own configuration file."""

import base64
import stat
from pathlib import Path

import pytest

from infra.deploy import config
from infra.deploy.problems import SetupError
from infra.settings import Settings


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("KILONOVA_STATE_DIR", str(folder))
    monkeypatch.delenv("KILONOVA_CONFIG", raising=False)
    return folder


def test_first_run_makes_secrets_that_only_the_owner_reads(state: Path) -> None:
    settings = config.ensure(Settings())
    file = state / "kilonova.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secrets = [
        settings.keycloak.client_secret,
        settings.keycloak.worker_client_secret,
        settings.deploy.keycloak_admin_password,
        *settings.deploy.passwords.values(),
    ]
    values = {secret.get_secret_value() for secret in secrets}
    assert len(values) == len(secrets)
    assert min(map(len, values)) >= 16
    (key,) = settings.seal.keys.values()
    assert len(base64.b64decode(key.get_secret_value())) == 32


def test_later_runs_keep_what_the_first_one_chose(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILONOVA_API__PORT", "21010")
    monkeypatch.setenv("KILONOVA_DEPLOY__KEYCLOAK_PORT", "21011")
    monkeypatch.setenv("KILONOVA_HOST__INTERFACE_PREFIX", "kx")
    first = config.ensure(Settings())
    for name in ("API__PORT", "DEPLOY__KEYCLOAK_PORT", "HOST__INTERFACE_PREFIX"):
        monkeypatch.delenv(f"KILONOVA_{name}")
    again = config.ensure(Settings())
    assert again == first
    assert again.api.port == 21010
    assert again.keycloak.url == "http://127.0.0.1:21011"
    assert again.host.interface_prefix == "kx"


def test_libvirt_is_the_stacks_own(state: Path) -> None:
    assert str(state) in config.ensure(Settings()).host.libvirt_uri


def test_settings_of_another_folder_are_refused(state: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="KILONOVA_STATE_DIR"):
        config.ensure(Settings(state_dir=tmp_path / "other"))


def test_a_folder_that_cant_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KILONOVA_STATE_DIR", str(tmp_path / "file" / "state"))
    with pytest.raises(SetupError, match="can't be written"):
        config.ensure(Settings())


def test_private_files_are_never_wider_for_a_moment(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    file.chmod(0o644)
    config.write_private(file, "new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
