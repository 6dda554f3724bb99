"""All scenarios there are."""

from tests.saga import moves, scenarios, shelves

SCENARIOS = (*scenarios.SCENARIOS, *moves.SCENARIOS, *shelves.SCENARIOS)
