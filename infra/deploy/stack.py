"""Starts, stops and shows the programs of one stack, all of them or some."""

import os
import signal
import time
import xmlrpc.client
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.deploy import config, shell
from infra.deploy.problems import SetupError
from infra.deploy.programs import Program, programs, taken
from infra.deploy.supervision import Supervisor
from infra.settings import Settings

_DEAD = ("FATAL", "EXITED", "UNKNOWN")
_FAILED = ("BACKOFF", *_DEAD)
_UP = ("RUNNING", "STARTING")


@dataclass(frozen=True)
class Status:
    name: str
    state: str
    """As supervisord names it: RUNNING, STOPPED, BACKOFF, FATAL, ..."""
    pid: int | None
    seconds: int
    """Since when it runs."""
    log: Path


class Stack:
    """The stack whose state folder ``settings`` name.

    ``settings`` have to be those that ``config.ensure`` returned: the programs read the same file.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.programs = {program.name: program for program in programs(settings)}
        self.supervisor = Supervisor(settings.state, config.ROOT)

    def start(self, names: Iterable[str] | None = None, started: Callable[[str], None] = lambda name: None) -> None:
        """Start the named programs (all, without names) in their order; return when each answers.

        What runs and is unchanged is left alone. ``started`` is told each name as it answers.

        Raises:
            SetupError: one can't be prepared, its port is taken, or it doesn't answer in time.
        """
        chosen = self._chosen(names)
        self.supervisor.write(list(self.programs.values()), {"KILONOVA_STATE_DIR": str(self.settings.state)})
        self.supervisor.run()
        for program in chosen:
            self._start(program)
            started(program.name)

    def stop(self, names: Iterable[str] | None = None) -> None:
        """Stop the named programs, last first; without names all of them and supervisord. Guests go on running."""
        if not self.supervisor.alive():
            return
        for program in reversed(self._chosen(names)):
            self._stop(program)
        if names is None:
            self.supervisor.shut_down()

    def kill(self, name: str) -> None:
        """Kill a program at once (SIGKILL), as a crash would; supervisord starts it again."""
        pid = int(self.supervisor.call("getProcessInfo", name)["pid"])
        if pid == 0:
            raise SetupError(f"{name} does not run.", f"See {config.log_directory(self.settings) / f'{name}.log'}.")
        # A program that is a script is its child, not the shell above it.
        (os.killpg if self.programs[name].group else os.kill)(pid, signal.SIGKILL)

    def status(self) -> list[Status]:
        """What each program does now, in their order."""
        found = {}
        if self.supervisor.alive():
            found = {info["name"]: info for info in self.supervisor.call("getAllProcessInfo")}
        return [self._status(name, found.get(name)) for name in self.programs]

    def _status(self, name: str, info: dict[str, object] | None) -> Status:
        log = config.log_directory(self.settings) / f"{name}.log"
        if info is None:
            return Status(name, "STOPPED", None, 0, log)
        state, pid = str(info["statename"]), int(str(info["pid"])) or None
        seconds = int(str(info["now"])) - int(str(info["start"])) if pid else 0
        return Status(name, state, pid, seconds, log)

    def _chosen(self, names: Iterable[str] | None) -> list[Program]:
        wanted = set(self.programs if names is None else names)
        unknown = wanted - set(self.programs)
        if unknown:
            raise SetupError(
                f"No program is called {', '.join(sorted(unknown))}.", f"There are {', '.join(self.programs)}."
            )
        return [program for program in self.programs.values() if program.name in wanted]

    def _start(self, program: Program) -> None:
        if self._state(program.name) not in _UP:
            self._stop(program)
            if program.port is not None and taken(program.port):
                raise SetupError(
                    f"Port {program.port}, which {program.name} needs, is in use by another process.",
                    "Stop that process (`ss -ltnp` names it), or choose another port in the stack's kilonova.toml.",
                )
            program.prepare()
            self._call("startProcess", program.name, False)
        self._wait(program)

    def _wait(self, program: Program) -> None:
        log = config.log_directory(self.settings) / f"{program.name}.log"
        deadline = time.monotonic() + program.patience
        while not self._ready(program):
            dead = self._state(program.name) in _FAILED
            if dead or time.monotonic() > deadline:
                said = shell.last_line(log.read_text(errors="replace")) if log.exists() else "nothing"
                self._stop(program)
                what = "ended at once" if dead else f"did not answer within {program.patience:.0f} s"
                raise SetupError(f"{program.name} {what}; the last it said: {said}.", f"Its log is {log}.")
            time.sleep(0.1)

    def _ready(self, program: Program) -> bool:
        info = self.supervisor.call("getProcessInfo", program.name)
        return bool(info["statename"] == "RUNNING") and program.ready(int(info["pid"]))

    def _stop(self, program: Program) -> None:
        if self._state(program.name) not in ("STOPPED", *_DEAD):
            self._call("stopProcess", program.name)

    def _state(self, name: str) -> str:
        return str(self.supervisor.call("getProcessInfo", name)["statename"])

    def _call(self, method: str, name: str, *arguments: object) -> None:
        try:
            self.supervisor.call(method, name, *arguments)
        except xmlrpc.client.Fault as error:
            log = config.log_directory(self.settings) / f"{name}.log"
            raise SetupError(f"supervisord refused to {method} {name}: {error.faultString}.", f"See {log}.") from error
