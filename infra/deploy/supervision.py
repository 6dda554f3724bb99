"""Talks to this stack's supervisord: its configuration file, its start, and its XML-RPC socket."""

import configparser
import http.client
import resource
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from infra.deploy import orphans
from infra.deploy.problems import SetupError
from infra.deploy.programs import Program

# A unix socket's address holds 108 bytes, and supervisord binds a name of its own beside it first (".<pid>").
_SOCKET_PATH_BYTES = 98
# Temporal and the API hold a connection a poller and a client.
_OPEN_FILES = 16384
_NO_ANSWER = (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError)


class Supervisor:
    """The supervisord of one state folder."""

    def __init__(self, state: Path, root: Path) -> None:
        self.state = state
        self.root = root
        self.file = state / "supervisord.conf"
        self.socket = state / "supervisord.sock"
        self.log = state / "logs" / "supervisord.log"

    def write(self, programs: list[Program], environment: Mapping[str, str]) -> None:
        """Write the configuration; it may hold secrets, so only the owner can read it.

        Raises:
            SetupError: the state folder's path is too long for a unix socket.
        """
        if len(str(self.socket).encode()) > _SOCKET_PATH_BYTES:
            raise SetupError(f"The path {self.state} is too long for a socket.", "Choose a shorter KILONOVA_STATE_DIR.")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        parser = configparser.RawConfigParser()
        parser.read_dict(self._sections(programs, environment))
        self.file.touch(mode=0o600)
        with self.file.open("w") as stream:
            parser.write(stream)

    def _sections(self, programs: list[Program], environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
        sections = {
            "unix_http_server": {"file": str(self.socket), "chmod": "0600"},
            "supervisord": {
                "logfile": str(self.log),
                "pidfile": str(self.state / "supervisord.pid"),
                "childlogdir": str(self.log.parent),
                "directory": str(self.root),
                "environment": _environment(environment),
                "minfds": str(_open_files()),
            },
            "rpcinterface:supervisor": {
                "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
            },
        }
        for program in programs:
            sections[f"program:{program.name}"] = {
                "command": shlex.join(program.command),
                "environment": _environment(program.environment),
                "autostart": "false",
                "autorestart": "true",
                "startsecs": "1",
                # A worker whose Temporal is away for minutes is still wanted afterwards.
                "startretries": "20",
                "stopwaitsecs": str(program.stop_seconds),
                "stopasgroup": str(program.group).lower(),
                "killasgroup": str(program.group).lower(),
                "redirect_stderr": "true",
                "stdout_logfile": str(self.log.with_name(f"{program.name}.log")),
                "stdout_logfile_maxbytes": "10MB",
                "stdout_logfile_backups": "3",
            }
        # supervisord expands %(...)s in every value.
        return {name: {key: v.replace("%", "%%") for key, v in values.items()} for name, values in sections.items()}

    def alive(self) -> bool:
        try:
            self.call("getState")
        except _NO_ANSWER:
            return False
        return True

    def call(self, method: str, *arguments: object) -> Any:
        """Call ``supervisor.<method>``. Raises xmlrpc.client.Fault when supervisord refuses."""
        transport = SupervisorTransport(None, None, serverurl=f"unix://{self.socket}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def run(self) -> None:
        """Start supervisord if it doesn't run, and have it take up a changed configuration.

        Programs whose definition changed or went are stopped; they start anew when they are next asked for.
        """
        if not self.alive():
            self._launch()
            return
        added, changed, removed = self.call("reloadConfig")[0]
        for name in (*changed, *removed):
            self.call("stopProcessGroup", name)
            self.call("removeProcessGroup", name)
        for name in (*added, *changed):
            self.call("addProcessGroup", name)

    def _launch(self) -> None:
        orphans.end(self.socket)
        program = Path(sys.executable).with_name("supervisord")
        done = subprocess.run([program, "-c", self.file], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise SetupError(f"supervisord did not start: {done.stderr.strip()}", f"Its log is {self.log}.")
        self._wait(True)

    def shut_down(self) -> None:
        """Stop supervisord and return when it is gone."""
        if self.alive():
            self.call("shutdown")
            self._wait(False)

    def _wait(self, alive: bool, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while self.alive() != alive:
            if time.monotonic() > deadline:
                raise SetupError(f"supervisord did not {'start' if alive else 'stop'} in time.", f"See {self.log}.")
            time.sleep(0.05)


def _open_files() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)


def _environment(values: Mapping[str, str]) -> str:
    # supervisord reads KEY="value" and knows no escape.
    for key, value in values.items():
        if '"' in value or "\n" in value:
            raise SetupError(f"{key} would hold a quote or a line break.", "Choose another KILONOVA_STATE_DIR.")
    return ",".join(f'{key}="{value}"' for key, value in values.items())
