"""``python -m infra.deploy up|down|status|logs|clean``: the developer stack on this machine.

``realm`` and ``people`` are for real installations: the realm file for a Keycloak that is there already, and the first
projects and users in it.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.deploy import clean, config, demo, realm, setup
from infra.deploy.problems import SetupError
from infra.deploy.stack import Stack
from infra.settings import Settings, load

_COLOURS = {"RUNNING": "green", "STARTING": "yellow", "STOPPED": "dim"}


def up(settings: Settings, console: Console) -> None:
    booted = setup.up(settings, console)
    settings = config.ensure(settings)
    console.print()
    for name, value in (
        ("server", f"{demo.NAME} ({booted.server_id}){'' if booted.created else ', which was there already'}"),
        ("address", booted.address),
        ("uname -a in it", booted.uname),
        ("API", f"{settings.api_url}/identity/v3"),
        ("Temporal UI", settings.temporal.ui_url),
    ):
        console.print(f"[bold]{name:<16}[/]{escape(value)}", highlight=False)
    console.print("\nTry next:")
    for line in (
        f". {_short(settings.state)}/activate",
        f"openstack console log show {demo.NAME}",
        f"openstack server create {' '.join(demo.OPTIONS)} --wait demo-2",
    ):
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def down(settings: Settings, console: Console) -> None:
    Stack(settings).stop()
    console.print("The stack is stopped. Guests go on running; `make up` finds them again, `make clean` removes them.")


def status(settings: Settings, console: Console) -> None:
    table = Table(box=None)
    for title in ("program", "state", "pid", "since", "log"):
        table.add_column(title)
    for line in Stack(settings).status():
        colour = _COLOURS.get(line.state, "red")
        pid, since = (str(line.pid), f"{line.seconds} s") if line.pid else ("", "")
        table.add_row(line.name, f"[{colour}]{line.state}[/]", pid, since, _short(line.log))
    console.print(table)


def logs(settings: Settings, console: Console) -> None:
    files = [line.log for line in Stack(settings).status() if line.log.exists()]
    if not files:
        raise SetupError("There are no logs yet.", "Run `make up` first.")
    try:
        subprocess.run(["tail", "-n", "20", "-F", *files], check=False)
    except KeyboardInterrupt:
        console.print()


def remove(settings: Settings, console: Console) -> None:
    clean.clean(settings, lambda what: console.print(f"· {what}", highlight=False))
    console.print("Nothing of the stack is left on this machine but packages and .venv.")


def print_realm(settings: Settings, console: Console) -> None:
    print(json.dumps(realm.realm(settings), indent=1))


def create_people(settings: Settings, console: Console) -> None:
    setup.first_people(settings)
    console.print(f"Users in the realm {settings.keycloak.realm}: {', '.join(settings.deploy.passwords)}.")


VERBS: dict[str, Callable[[Settings, Console], None]] = {
    "up": up,
    "down": down,
    "status": status,
    "logs": logs,
    "clean": remove,
    "realm": print_realm,
    "people": create_people,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description="Sets Kilonova up.")
    parser.add_argument("verb", choices=VERBS)
    verb = VERBS[parser.parse_args().verb]
    console = Console(soft_wrap=True)
    try:
        verb(load(), console)
    except SetupError as error:
        console.print(f"[red]✗[/] {escape(error.what)} {escape(error.mend)}", highlight=False)
        return 1
    except ValidationError as error:
        console.print(f"[red]✗[/] The settings are not valid: {escape(str(error))}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("[red]✗[/] Stopped. What was done stays; the same command goes on from there.", highlight=False)
        return 130
    return 0


def _short(path: Path) -> str:
    return str(path.relative_to(config.ROOT)) if path.is_relative_to(config.ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(main())
