"""All scenarios there are."""

from tests.saga import interfaces, moves, scenarios

SCENARIOS = (*scenarios.SCENARIOS, *moves.SCENARIOS, *interfaces.SCENARIOS)
