"""All scenarios there are."""

from tests.saga import moves, networks, scenarios

SCENARIOS = (*scenarios.SCENARIOS, *moves.SCENARIOS, *networks.SCENARIOS)
