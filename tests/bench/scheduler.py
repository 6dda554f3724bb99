"""``python -m tests.bench.scheduler``: what placing a server costs, and how well servers are placed.

``--claims`` adds place-and-claim on a new SQLite file, and on PostgreSQL where ``--database`` names an empty database;
``--page`` writes all of it to docs/scheduler-benchmarks.md. One process, warm; times are medians.
"""

import argparse
import os
import platform
import tempfile
from pathlib import Path

from tests.bench.scheduling import choice, claims, packing
from tests.bench.scheduling.page import Section

PAGE = Path(__file__).parents[2] / "docs" / "scheduler-benchmarks.md"
_MARK = "<!-- measured -->"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--claims", action="store_true", help="also place and claim")
    arguments.add_argument("--database", help="URL of an empty PostgreSQL database for --claims")
    arguments.add_argument("--page", action="store_true", help=f"write the figures to docs/{PAGE.name}")
    chosen = arguments.parse_args()
    sections = choice.measure()
    if chosen.claims:
        with tempfile.TemporaryDirectory(prefix="kilonova-bench-") as folder:
            databases = {"SQLite": f"sqlite:///{Path(folder) / 'bench.db'}"}
            if chosen.database:
                databases["PostgreSQL"] = chosen.database
            sections.append(claims.measure(databases))
    sections.append(packing.measure())
    text = _text(sections)
    print(text)
    if chosen.page:
        PAGE.write_text(f"{PAGE.read_text().partition(_MARK)[0]}{_MARK}\n\n{text}\n")


def _text(sections: list[Section]) -> str:
    load = os.getloadavg()[0]
    machine = f"Measured on {os.cpu_count()} processors, Python {platform.python_version()}, at a load of {load:.1f}."
    return "\n\n".join([machine, *(section.text() for section in sections)])


if __name__ == "__main__":
    main()
