"""All scenarios there are."""

from tests.saga import interfaces, moves, scenarios, snapshots

SCENARIOS = (*scenarios.SCENARIOS, *moves.SCENARIOS, *interfaces.SCENARIOS, *snapshots.SCENARIOS)
