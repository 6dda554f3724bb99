"""What the set-up says when the machine lacks something."""

import sys
from pathlib import Path

import pytest

from infra.deploy import clean, hypervisor, keycloak, shell
from infra.deploy.problems import SetupError
from infra.settings import Settings


def test_a_missing_program_is_named_with_its_remedy() -> None:
    with pytest.raises(SetupError) as caught:
        shell.run(["no-such-program"], mend="Install it.")
    assert str(caught.value) == "The program 'no-such-program' is not installed. Install it."


def test_a_failure_shows_its_last_line_and_keeps_the_rest(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "setup.log"
    code = "import sys; print('first'); sys.exit('no space left')"
    with pytest.raises(SetupError, match="no space left"):
        shell.run([sys.executable, "-c", code], mend="Make room.", log=log)
    assert "first" in log.read_text()


def test_a_program_that_hangs_is_ended() -> None:
    with pytest.raises(SetupError, match="did not end within 1 s"):
        shell.run([sys.executable, "-c", "import time; time.sleep(60)"], mend="", timeout=1)


def test_a_changed_keycloak_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def run(command: list[str], **_: object) -> str:
        ran.append(command[0])
        target = next(word for word in command if word.startswith("-DoutputDirectory=")).partition("=")[2]
        Path(target, f"keycloak-quarkus-dist-{keycloak.VERSION}.tar.gz").write_bytes(b"not what was pinned")
        return ""

    monkeypatch.setattr(keycloak, "run", run)
    with pytest.raises(SetupError, match="SHA-256"):
        keycloak.install(Settings(state_dir=tmp_path))
    assert ran == ["mvn"]
    assert list(keycloak.distribution(Settings(state_dir=tmp_path)).parent.iterdir()) == []


def test_a_folder_that_is_no_stack_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    with pytest.raises(SetupError, match="holds no stack"):
        clean.clean(Settings(state_dir=tmp_path), lambda step: None)
    assert (tmp_path / "precious").exists()


def test_qemu_runs_as_root_only_where_its_user_cant_reach_the_state(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert hypervisor.qemu_user(Settings(state_dir=closed)) == "root"
    assert hypervisor.qemu_user(Settings(state_dir=Path("/var/lib"))) == "libvirt-qemu"
