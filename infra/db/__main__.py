"""``python -m infra.db upgrade``: brings the database of the settings to this version's tables."""

import argparse
import sys

from infra import settings as configuration
from infra.db.migrate import upgrade


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.db", description="Manages Kilonova's database.")
    parser.add_argument("verb", choices=["upgrade"], help="make or change the tables; harmless when repeated")
    parser.parse_args()
    settings = configuration.load()
    settings.state.mkdir(parents=True, exist_ok=True)
    upgrade(settings.database_url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
