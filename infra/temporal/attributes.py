"""Search attributes that filter the list of runs in the Temporal UI; registered at set-up, before any worker polls."""

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

SERVER = SearchAttributeKey.for_keyword("KilonovaServer")
PROJECT = SearchAttributeKey.for_keyword("KilonovaProject")
HOST = SearchAttributeKey.for_keyword("KilonovaHost")
PHASE = SearchAttributeKey.for_keyword("KilonovaPhase")
STUCK = SearchAttributeKey.for_keyword("KilonovaStuck")
"""The step that does not get through, of a run that must have it done."""

KEYS = (SERVER, PROJECT, HOST, PHASE, STUCK)
NAMES = tuple(key.name for key in KEYS)


def initial(server_id: str, project_id: str, phase: str) -> TypedSearchAttributes:
    return TypedSearchAttributes(
        [
            SearchAttributePair(SERVER, server_id),
            SearchAttributePair(PROJECT, project_id),
            SearchAttributePair(PHASE, phase),
        ]
    )
