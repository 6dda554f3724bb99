"""``python -m tests.bench.scheduler``: what placing a server costs, and how well servers are placed.

Writes docs/scheduler-benchmarks.md. One process, warm; times are medians. Claims go to a new SQLite file and to a new
PostgreSQL server that waits for its disk at each commit.
"""

import argparse
import os
import platform
import tempfile
from pathlib import Path

from tests import postgresql
from tests.bench.scheduling import choice, claims, packing
from tests.bench.scheduling.page import Section

PAGE = Path(__file__).parents[2] / "docs" / "scheduler-benchmarks.md"
_MARK = "<!-- measured -->"


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    sections = choice.measure()
    with tempfile.TemporaryDirectory(prefix="kilonova-bench-") as folder, postgresql.running() as server:
        sections.append(claims.measure({"SQLite": f"sqlite:///{Path(folder) / 'bench.db'}", "PostgreSQL": server}))
    sections.append(packing.measure())
    text = _text(sections)
    print(text)
    PAGE.write_text(f"{PAGE.read_text().partition(_MARK)[0]}{_MARK}\n\n{text}\n")


def _text(sections: list[Section]) -> str:
    load = os.getloadavg()[0]
    machine = f"Measured on {os.cpu_count()} processors, Python {platform.python_version()}, at a load of {load:.1f}."
    return "\n\n".join([machine, *(section.text() for section in sections)])


if __name__ == "__main__":
    main()
