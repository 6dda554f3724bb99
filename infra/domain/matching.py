"""Everyone gets something of their own, from what each would take. Pure."""

from collections.abc import Collection, Hashable, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


def match(choices: Sequence[Collection[K]]) -> list[K] | None:
    """One of its choices for each, no two the same; None if that can't be done.

    The first choice that nobody has is taken; where all are, who has one makes way if another will do.
    """
    owners: dict[K, int] = {}
    if not all(_take(index, choices, owners, set()) for index in range(len(choices))):
        return None
    return [chosen for chosen, _ in sorted(owners.items(), key=lambda pair: pair[1])]


def _take(index: int, choices: Sequence[Collection[K]], owners: dict[K, int], tried: set[K]) -> bool:
    untaken = next((choice for choice in choices[index] if choice not in owners), None)
    if untaken is not None:
        owners[untaken] = index
        return True
    for choice in choices[index]:
        if choice not in tried:
            tried.add(choice)
            if _take(owners[choice], choices, owners, tried):
                owners[choice] = index
                return True
    return False
