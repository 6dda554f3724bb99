"""All scenarios there are."""

from tests.saga import images_on_volumes, interfaces, moves, networks, scenarios, shelves, snapshots

SCENARIOS = (
    *scenarios.SCENARIOS,
    *moves.SCENARIOS,
    *shelves.SCENARIOS,
    *interfaces.SCENARIOS,
    *snapshots.SCENARIOS,
    *images_on_volumes.SCENARIOS,
    *networks.SCENARIOS,
)
