"""A real supervisord with small programs of the test's own."""

import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.deploy import config
from infra.deploy.problems import SetupError
from infra.deploy.programs import Program
from infra.deploy.stack import Stack
from infra.settings import Settings

_SLEEP = [sys.executable, "-c", "import time; print('hello'); time.sleep(600)"]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("KILONOVA_STATE_DIR", str(tmp_path / "s"))
    made = Stack(config.ensure(Settings()))
    made.programs = {"one": Program("one", _SLEEP), "two": Program("two", _SLEEP)}
    yield made
    made.stop()


def _pid(stack: Stack, name: str) -> int | None:
    return next(line.pid for line in stack.status() if line.name == name)


def _until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_programs_start_one_by_one_and_stop_altogether(stack: Stack) -> None:
    stack.start(["one"])
    assert [line.state for line in stack.status()] == ["RUNNING", "STOPPED"]
    first = _pid(stack, "one")
    stack.start()
    assert [line.state for line in stack.status()] == ["RUNNING", "RUNNING"]
    assert _pid(stack, "one") == first, "what runs is left alone"
    second = _pid(stack, "two")
    assert first is not None
    assert second is not None
    stack.stop()
    assert [line.state for line in stack.status()] == ["STOPPED", "STOPPED"]
    _until(lambda: _gone(first) and _gone(second))


def test_a_killed_program_comes_back(stack: Stack) -> None:
    stack.start(["one"])
    before = _pid(stack, "one")
    stack.kill("one")
    _until(lambda: _pid(stack, "one") not in (None, before) and stack.status()[0].state == "RUNNING")


def test_what_a_killed_supervisord_left_is_ended_before_the_next_one_starts(stack: Stack) -> None:
    stack.start(["one"])
    orphan = _pid(stack, "one")
    assert orphan is not None
    os.kill(int((stack.settings.state / "supervisord.pid").read_text()), signal.SIGKILL)
    _until(lambda: not stack.supervisor.alive())
    assert not _gone(orphan)
    stack.start(["one"])
    assert _gone(orphan)
    assert stack.status()[0].state == "RUNNING"


def test_a_changed_program_is_started_anew(stack: Stack) -> None:
    stack.start()
    one, two = _pid(stack, "one"), _pid(stack, "two")
    stack.programs["one"] = dataclasses.replace(stack.programs["one"], environment={"STACK_CODE": "2"})
    stack.start()
    assert _pid(stack, "one") not in (None, one)
    assert _pid(stack, "two") == two


@pytest.mark.parametrize("value", ["plain", "50%", "%(here)s", "a,b=c", "it's", "two words", "#;"])
def test_programs_get_the_environment_they_were_given(stack: Stack, tmp_path: Path, value: str) -> None:
    out = tmp_path / "out"
    code = f"import os, time; open({str(out)!r}, 'w').write(os.environ['GIVEN']); time.sleep(600)"
    program = Program("one", [sys.executable, "-c", code], environment={"GIVEN": value}, ready=lambda pid: out.exists())
    stack.programs["one"] = program
    stack.start(["one"])
    _until(lambda: out.read_text() == value)


def test_a_value_that_cant_be_written_down_is_refused(stack: Stack) -> None:
    stack.programs["one"] = Program("one", _SLEEP, environment={"GIVEN": 'say "x"'})
    with pytest.raises(SetupError, match="GIVEN"):
        stack.start(["one"])


def test_preparation_comes_before_the_start_and_only_then(stack: Stack, tmp_path: Path) -> None:
    done: list[str] = []
    stack.programs["one"] = dataclasses.replace(stack.programs["one"], prepare=lambda: done.append("prepared"))
    stack.start(["one"])
    stack.start(["one"])
    assert done == ["prepared"]


def test_a_program_that_ends_at_once_is_told_with_its_last_words(stack: Stack) -> None:
    stack.programs["one"] = Program("one", [sys.executable, "-c", "raise SystemExit('no database')"], patience=20)
    with pytest.raises(SetupError, match="no database") as caught:
        stack.start(["one"])
    assert str(config.log_directory(stack.settings) / "one.log") in caught.value.mend
    assert stack.status()[0].state in ("STOPPED", "EXITED"), "it isn't tried again behind one's back"


def test_a_program_that_never_answers_is_told(stack: Stack) -> None:
    stack.programs["one"] = Program("one", _SLEEP, ready=lambda pid: False, patience=1.5)
    with pytest.raises(SetupError, match="did not answer within"):
        stack.start(["one"])


def test_a_taken_port_is_told_before_anything_starts(stack: Stack) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        stack.programs["one"] = Program("one", _SLEEP, port=other.getsockname()[1])
        with pytest.raises(SetupError, match="in use by another process"):
            stack.start(["one"])
    assert stack.status()[0].state == "STOPPED"


def test_an_unknown_program_is_refused(stack: Stack) -> None:
    with pytest.raises(SetupError, match="three"):
        stack.start(["three"])


def test_the_configuration_is_read_by_its_owner_only(stack: Stack) -> None:
    stack.start([])
    assert stack.supervisor.file.stat().st_mode & 0o077 == 0


def test_a_path_too_long_for_a_socket_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILONOVA_STATE_DIR", str(tmp_path / ("x" * 100)))
    with pytest.raises(SetupError, match="too long"):
        Stack(config.ensure(Settings())).start([])
