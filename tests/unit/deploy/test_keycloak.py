"""Keycloak as the stack runs it."""

from pathlib import Path

from infra.deploy import keycloak
from infra.settings import Settings


def test_what_the_server_writes_is_in_the_state_folder(tmp_path: Path) -> None:
    """Also its scratch files, which ``make clean`` would not find elsewhere."""
    settings = Settings(state_dir=tmp_path)
    options = dict(option.split("=", 1) for option in keycloak.command(settings) if option.startswith("-D"))
    for name in ("-Dkc.home.dir", "-Djava.io.tmpdir"):
        assert Path(options[name]).is_relative_to(settings.state)
