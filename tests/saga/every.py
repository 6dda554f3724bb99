"""All scenarios there are."""

from tests.saga import moves, scenarios

SCENARIOS = (*scenarios.SCENARIOS, *moves.SCENARIOS)
