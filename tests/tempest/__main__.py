"""``python -m tests.tempest [--tier N]``: judges the running stack by OpenStack's own integration tests.

Tier 1 is what one boot needs; the higher tiers ask for verbs and rights beyond it. The page of results is
``docs/conformance.md``. Ends with 1 when a test of tier 1 has not passed, or something was left behind.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from infra.deploy.problems import SetupError
from infra.deploy.rest import Cloud
from infra.domain.errors import KilonovaError
from infra.settings import load
from tests.tempest import leftovers, page, setup
from tests.tempest.run import run

_PASSED = "success"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tempest", description="Runs Tempest on the running stack.")
    parser.add_argument("--tier", type=int, choices=range(1, 5), default=1)
    tier = parser.parse_args().tier
    console = Console(soft_wrap=True)
    try:
        return _judge(tier, console)
    except (SetupError, KilonovaError) as error:
        console.print(f"[red]✗[/] {escape(str(error))}", highlight=False)
        return 1


def _judge(tier: int, console: Console) -> int:
    settings = load()
    ready = setup.prepare(settings)
    tests = Path(__file__).with_name(f"tier{tier}.txt").read_text().split()
    outcomes = run(ready, tests)
    page.write(tier, outcomes)
    page.show(tier, outcomes, console)
    left = leftovers.wait(Cloud(settings, "kilonova-admin"), ready.projects)
    for line in left:
        console.print(f"[red]✗[/] Left behind: {escape(line)}", highlight=False)
    failed = any(item.status != _PASSED for item in outcomes)
    return 1 if left or (tier == 1 and failed) else 0


if __name__ == "__main__":
    sys.exit(main())
