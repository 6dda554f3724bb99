"""The installation page and the systemd units name only what exists."""

import configparser
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from infra.deploy.config import ROOT
from infra.settings import Settings
from infra.temporal import attributes

PAGE = (ROOT / "docs" / "installation.md").read_text()
UNITS = sorted((ROOT / "infra" / "deploy" / "systemd").glob("*.service"))


def test_the_settings_file_of_the_page_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE, re.S)
    assert example
    text = example[1].replace('k1 = "..."', f'k1 = "{"A" * 43}="')
    (tmp_path / "kilonova.toml").write_text(text)
    monkeypatch.setenv("KILONOVA_CONFIG", str(tmp_path / "kilonova.toml"))
    settings = Settings()
    given = tomllib.loads(text)
    assert settings.api_url == given["api"]["public_url"]
    assert settings.database_url == given["database"]["url"]
    assert settings.host.tunnel_ip == given["host"]["tunnel_ip"]


def test_every_variable_of_the_page_is_a_setting() -> None:
    names = set(re.findall(r"KILONOVA_([A-Z]+)__([A-Z_]+)", PAGE))
    assert names
    for group, name in names:
        assert name.lower() in type(getattr(Settings(), group.lower())).model_fields, f"{group}__{name}"


def test_the_page_registers_all_search_attributes() -> None:
    assert all(name in PAGE for name in attributes.NAMES)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_start_modules_that_exist_and_stop_them_gently(unit: Path) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    service = parser["Service"]
    module = re.search(r"-m (\S+)", service["ExecStart"])
    assert module
    assert importlib.util.find_spec(f"{module[1]}.__main__") is not None
    # Workers let running steps end for 30 s.
    assert int(service["TimeoutStopSec"]) > 30
    assert service["Restart"] == "always"
    assert unit.stem.removeprefix("kilonova-") in PAGE
