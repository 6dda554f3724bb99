"""``python -m workers control``, ``python -m workers compute --host NAME --driver libvirt|fake``, and what operators
ask for: ``reconcile HOST``, ``problems``."""

import argparse
import asyncio
import logging
import sys

import uvloop

from infra import settings as configuration
from workers.running import CannotStart


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m workers", description="Kilonova's workers, and what operators ask."
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("control", help="workflows, records and scheduling")
    host = kinds.add_parser("compute", help="one compute host")
    host.add_argument("--host", help="the host's name; default host.name of the settings, then this machine's")
    host.add_argument("--driver", choices=("libvirt", "fake"), default="libvirt")
    now = kinds.add_parser("reconcile", help="compare a host with what should be there, now")
    now.add_argument("host")
    kinds.add_parser("problems", help="list undos that do not get through, what hosts owe, and rows that no run holds")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    settings = configuration.load()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        if arguments.kind == "control":
            # Each worker loads what it runs: a host has no business with the database.
            from workers import control

            uvloop.run(control.run(settings))
        elif arguments.kind == "reconcile":
            from workers import operators

            return asyncio.run(operators.reconcile(settings, arguments.host))
        elif arguments.kind == "problems":
            from workers import operators

            return asyncio.run(operators.problems(settings))
        else:
            if arguments.host:
                named = settings.host.model_copy(update={"name": arguments.host})
                settings = settings.model_copy(update={"host": named})
            from workers import compute

            uvloop.run(compute.run(settings, arguments.driver))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except CannotStart as error:
        print(f"kilonova: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
