"""The results as a table on the terminal, and as ``docs/conformance.md``: a section a tier, each run writes its own."""

import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from infra.deploy import config
from tests.tempest.run import Outcome

_PAGE = config.ROOT / "docs" / "conformance.md"
_HEAD = """\
# Conformance

How Kilonova does in [Tempest](https://docs.openstack.org/tempest/latest/) 47.0.0, OpenStack's own integration tests,
unmodified, on a running stack. `make tempest` runs tier 1, `.venv/bin/python -m tests.tempest --tier N` any of the
four; each run writes its section of this page anew. A test that did not run has not passed.
"""
_TIERS = {
    1: "Booting a server, and what it needs",
    2: "Verbs on servers, images, networks and volumes",
    3: "Rights of administrators and readers",
    4: "Moving, attaching and signing in to guests",
}


def show(tier: int, outcomes: Sequence[Outcome], console: Console) -> None:
    table = Table("test", "status", "reason", title=f"Tier {tier}: {_score(outcomes)}")
    for item in outcomes:
        if item.status != "success":
            table.add_row(_short(item.test), item.status, item.reason)
    console.print(table)


def write(tier: int, outcomes: Sequence[Outcome], file: Path = _PAGE) -> None:
    """Replace the tier's section of ``file``, and keep those of the other tiers."""
    sections = _sections(file.read_text() if file.exists() else "")
    sections[tier] = _section(tier, outcomes)
    file.write_text("\n".join([_HEAD, *(sections[number] for number in sorted(sections))]))


def _sections(page: str) -> dict[int, str]:
    parts = re.split(r"^(?=## Tier \d)", page, flags=re.MULTILINE)[1:]
    return {int(part.removeprefix("## Tier ")[0]): f"{part.strip()}\n" for part in parts}


def _section(tier: int, outcomes: Sequence[Outcome]) -> str:
    lines = [f"## Tier {tier}: {_TIERS[tier].lower()}", "", f"**{_score(outcomes)}**", ""]
    failed = [item for item in outcomes if item.status != "success"]
    if failed:
        lines += ["| Test | Ended as | Reason |", "|---|---|---|"]
        lines += [f"| `{_short(item.test)}` | {item.status} | {_cell(item.reason)} |" for item in failed]
        lines.append("")
    return "\n".join(lines)


def _score(outcomes: Sequence[Outcome]) -> str:
    passed = sum(item.status == "success" for item in outcomes)
    return f"{passed} of {len(outcomes)} tests pass"


def _short(test: str) -> str:
    return test.removeprefix("tempest.")


def _cell(text: str) -> str:
    """Ids and addresses change with every run: without them the page changes only with the results."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "…", text)
    return re.sub(r"\s+", " ", text).replace("|", "\\|")[:200]
