"""``python -m tests.chaos [case ...]``: bursts of boots and of deletes while something dies, and what became of them.

Runs in namespaces of its own (``.ci/apart``) on a stack of its own. All cases together write ``docs/reliability.md``.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from infra.deploy import config
from infra.settings import Settings
from tests.bench.__main__ import machine
from tests.chaos import host_disk, page, postgresql
from tests.chaos.cases import CASES, Case
from tests.chaos.run import Result, run
from tests.e2e import own
from tests.e2e.world import World

_NAME = "chaos"
_STATE = config.ROOT / ".kilonova-chaos"
_DATABASE = Path("/tmp/kilonova-chaos-postgresql")


@contextmanager
def _on_sqlite(logs: Path) -> Iterator[World]:
    with host_disk.own(_NAME), own.running(_STATE, _NAME) as world:
        yield from _keeping(logs, world)


@contextmanager
def _on_postgresql(logs: Path) -> Iterator[World]:
    with (
        host_disk.own(_NAME),
        postgresql.used(_DATABASE),
        own.running(_STATE, _NAME, lambda stack: postgresql.add_to(stack, _DATABASE)) as world,
    ):
        yield from _keeping(logs, world)


def _keeping(logs: Path, world: World) -> Iterator[World]:
    try:
        yield world
    finally:
        shutil.rmtree(logs, ignore_errors=True)
        shutil.copytree(config.log_directory(world.settings), logs)


def _run(world: World, cases: Sequence[Case], console: Console) -> Iterator[Result]:
    for case in cases:
        with case.around(world):
            for moment in case.moments:
                try:
                    result = run(world, case, moment)
                except Exception:
                    # The other cases are run all the same; a run that has not all of them writes no page.
                    console.print_exception()
                    world.purge()
                    continue
                console.print("  ".join(page.row(result)), highlight=False)
                for said in (*result.boots.faults, *_refusals(result), *(f"{k}: {v}" for k, v in result.left.items())):
                    console.print(f"    {said}", highlight=False, markup=False)
                world.purge()
                yield result


def _refusals(result: Result) -> list[str]:
    said = [one for ends in (result.boots, result.deletes) for answer in ends.answers for one in answer.refusals]
    return [f"{said.count(one)} x {one}" for one in dict.fromkeys(said)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="What is lost when something dies.")
    names = [case.name for case in CASES]
    parser.add_argument("case", nargs="*", choices=[*names, []], metavar="case", help=f"of: {', '.join(names)}")
    chosen = parser.parse_args().case or names
    console = Console(width=180)
    where, logs = machine(), Settings().state / "chaos-logs"
    results: list[Result] = []
    for kind, stack in ((False, _on_sqlite), (True, _on_postgresql)):
        if cases := [case for case in CASES if case.name in chosen and case.on_postgresql is kind]:
            with stack(logs / ("postgresql" if kind else "sqlite")) as world:
                results.extend(_run(world, cases, console))
    page.show(results, console)
    if len(results) == sum(len(case.moments) for case in CASES):
        page.write(results, where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
