"""Logins of one user, one after the other.

Keycloak's guard against guessing refuses a login while another of the same user runs, as if the password were wrong,
and takes a moment after its answer to notice that the other has ended. OpenStack's clients sign in side by side all
the time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from infra.domain.errors import Unauthorized

_MOMENT = 1.0
_PAUSES = (0.05, 0.2)


class Logins:
    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._signed_in: dict[str, float] = {}

    async def one(self, user: str, sign_in: Callable[[], Awaitable[str]]) -> str:
        """The token of ``sign_in``, called when no other login of ``user`` runs.

        It is called again where it is refused although the user has just signed in.

        Raises:
            Unauthorized: it is refused.
        """
        # Keycloak's user names know no case.
        user = user.casefold()
        async with self._locks.setdefault(user, asyncio.Lock()):
            for pause in _PAUSES:
                try:
                    return self._done(user, await sign_in())
                except Unauthorized:
                    if not self._lately(user):
                        raise
                await asyncio.sleep(pause)
            return self._done(user, await sign_in())

    def _done(self, user: str, token: str) -> str:
        now = time.monotonic()
        self._signed_in = {name: then for name, then in self._signed_in.items() if now - then < _MOMENT} | {user: now}
        return token

    def _lately(self, user: str) -> bool:
        return time.monotonic() - self._signed_in.get(user, -_MOMENT) < _MOMENT
