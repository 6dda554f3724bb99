"""One run of a case: a burst of boots and a burst of deletes, each struck at the same moment, and what is left then."""

import threading
import time
from dataclasses import dataclass
from typing import Any

from infra.deploy import demo
from infra.deploy.rest import Cloud
from tests.chaos import leaks
from tests.chaos.burst import Boots, Burst, Deletes, Ends
from tests.chaos.cases import Case
from tests.chaos.harm import Missed
from tests.e2e.traces import look
from tests.e2e.world import World, until

_DELETES_ARE_QUICKER = 0.2
_TIDY_SECONDS = 120.0
"""What runs get to close, and hosts to pay their debts, when the last server is gone."""


@dataclass(frozen=True)
class Result:
    case: str
    moment: float
    boots: Ends
    deletes: Ends
    left: dict[str, list[Any]]
    """What was left behind, by kind."""
    missed: tuple[str, ...]
    """Bursts that nothing was done to, and why."""


def run(world: World, case: Case, moment: float) -> Result:
    world.sign_in()
    before = look(world.settings)
    prefix = world.settings.host.interface_prefix
    boots = Boots(world)
    missed: list[str] = []
    booted = _struck(world, case, moment, boots, missed)
    deletes = Deletes(world, boots.server_ids())
    deleted = _struck(world, case, moment * _DELETES_ARE_QUICKER, deletes, missed)
    deadline = time.monotonic() + _TIDY_SECONDS
    while (left := leaks.between(before, look(world.settings), prefix)) and time.monotonic() < deadline:
        time.sleep(1)
    _be_whole(world)
    return Result(case.name, moment, booted, deleted, left, tuple(missed))


def _struck(world: World, case: Case, moment: float, burst: Burst, missed: list[str]) -> Ends:
    failed: list[BaseException] = []

    def strike() -> None:
        time.sleep(moment)
        try:
            case.harm(world)
        except Missed as error:
            missed.append(f"{type(burst).__name__.lower()}: {error}")
        except BaseException as error:
            failed.append(error)

    striking = threading.Thread(target=strike)
    striking.start()
    ends = burst.run()
    striking.join()
    if failed:
        raise failed[0]
    _be_whole(world)
    if case.kills_guests:
        # The host has to tell.
        time.sleep(2 * world.settings.host.report_seconds)
        ends = burst.again(ends)
    return ends


def _be_whole(world: World) -> None:
    """Return when every program runs and the host takes servers: the next burst is struck anew."""
    until(lambda: all(line.state == "RUNNING" for line in world.stack.status()), "all programs run")
    world.stack.start()
    demo.wait_for_host(Cloud(world.settings, "kilonova-admin"), world.settings)
