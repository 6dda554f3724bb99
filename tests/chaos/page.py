"""The results as a table on the terminal, and as ``docs/reliability.md``."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from infra.deploy.config import ROOT
from tests.bench.__main__ import machine
from tests.chaos.burst import Ends
from tests.chaos.run import Result

_PAGE = ROOT / "docs" / "reliability.md"
_HEAD = (
    "case",
    "at",
    "boots sent again",
    "became",
    "after",
    "deletes sent again",
    "became",
    "after",
    "left",
)


def row(result: Result) -> tuple[str, ...]:
    boots, deletes = result.boots, result.deletes
    left = ", ".join(f"{len(found)} {kind}" for kind, found in result.left.items())
    return (
        result.case,
        f"{result.moment:g} s",
        *(str(boots.refused), _states(boots), f"{boots.seconds:.0f} s"),
        *(str(deletes.refused), _states(deletes), f"{deletes.seconds:.0f} s"),
        "; ".join([left or "0", *result.missed]),
    )


def _states(ends: Ends) -> str:
    parts = [f"{count} {state}" for state, count in sorted(ends.states.items())]
    parts += [f"{ends.moving} still moving"] if ends.moving else []
    parts += [f"{ends.lost} never taken"] if ends.lost else []
    return ", ".join(parts)


def show(results: Sequence[Result], console: Console) -> None:
    table = Table(*_HEAD, title=machine())
    for result in results:
        table.add_row(*row(result))
    console.print(table)


def write(results: Sequence[Result], where: str) -> None:
    """Replace the table of the page."""
    lines = ["| " + " | ".join(_HEAD) + " |", "|---" * len(_HEAD) + "|"]
    lines += ["| " + " | ".join(row(result)) + " |" for result in results]
    head, _, rest = _PAGE.read_text().partition("<!-- table -->")
    _, _, tail = rest.partition("<!-- end -->")
    stamp = f"Run on {time.strftime('%Y-%m-%d')} on {where}."
    _PAGE.write_text("\n\n".join([f"{head}<!-- table -->", stamp, "\n".join(lines), f"<!-- end -->{tail}"]))
