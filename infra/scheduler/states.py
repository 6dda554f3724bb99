"""The states that the parts of hosts are in: hosts of one make with the same CPUs or devices taken are in the same one.

Whether a guest fits is worked out once for each state and wish, and remembered, as it is the one question to hosts
that no array operation answers.
"""

import numpy as np
from numpy.typing import NDArray

from infra.domain.fitting import Parts, Wish, fit
from infra.domain.pci import PciWish, free

_WISHES = 64
"""Wishes remembered; the one that was not asked for longest is forgotten."""


class States:
    def __init__(self) -> None:
        self._codes: dict[Parts, int] = {}
        self._states: list[Parts] = []
        self._verdicts: dict[Wish, list[bool]] = {}

    def __len__(self) -> int:
        return len(self._states)

    def code(self, state: Parts) -> int:
        code = self._codes.setdefault(state, len(self._states))
        if code == len(self._states):
            self._states.append(state)
        return code

    def fits(self, wish: Wish) -> NDArray[np.bool_]:
        """By code: whether a guest that wishes this fits."""
        verdicts = self._verdicts.pop(wish, [])
        verdicts += (fit(parts, wish) is not None for parts in self._states[len(verdicts) :])
        self._verdicts[wish] = verdicts
        if len(self._verdicts) > _WISHES:
            self._verdicts.pop(next(iter(self._verdicts)))
        return np.array(verdicts, np.bool_)

    def free(self, wish: PciWish) -> NDArray[np.int64]:
        """By code: how many free devices there are of those that a guest wishes for."""
        return np.array([sum(map(wish.names, free(s.devices, s.devices_used))) for s in self._states], np.int64)

    def keep(self, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Forget every other state, and number those left anew; returns the new numbers of ``codes``."""
        kept, renumbered = np.unique(codes, return_inverse=True)
        self._states = [self._states[code] for code in kept.tolist()]
        self._codes = {state: code for code, state in enumerate(self._states)}
        self._verdicts = {
            wish: [verdicts[code] for code in kept.tolist()]
            for wish, verdicts in self._verdicts.items()
            if len(verdicts) > (int(kept[-1]) if len(kept) else -1)
        }
        return renumbered.astype(np.int32)
