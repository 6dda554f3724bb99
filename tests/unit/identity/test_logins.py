import asyncio

import pytest

from infra.domain.errors import Unauthorized
from infra.identity import logins
from infra.identity.logins import Logins


class Guard:
    """Refuses as Keycloak does: whoever comes while another is inside, and ``late`` times after that."""

    def __init__(self, late: int = 0) -> None:
        self.late = late
        self.inside = False
        self.asked = 0

    async def sign_in(self) -> str:
        self.asked += 1
        if self.inside or (self.asked > 1 and self.late > 0):
            self.late -= 1
            raise Unauthorized("no")
        self.inside = True
        await asyncio.sleep(0)
        self.inside = False
        return "token"


async def test_logins_of_a_user_wait_for_each_other_whatever_the_case() -> None:
    guard, queue = Guard(), Logins()
    found = await asyncio.gather(*(queue.one(name, guard.sign_in) for name in ("ann", "Ann", "ANN") * 3))
    assert found == ["token"] * 9
    assert guard.asked == 9


async def test_users_do_not_wait_for_each_other() -> None:
    queue, held = Logins(), asyncio.Event()

    async def slow() -> str:
        await held.wait()
        return "slow"

    waiting = asyncio.create_task(queue.one("ann", slow))
    assert await queue.one("bob", Guard().sign_in) == "token"
    held.set()
    assert await waiting == "slow"


async def test_a_refusal_right_after_a_login_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "_PAUSES", (0, 0))
    guard, queue = Guard(late=2), Logins()
    assert await queue.one("ann", guard.sign_in) == "token"
    assert await queue.one("ann", guard.sign_in) == "token"
    assert guard.asked == 4
    guard.late = 3
    with pytest.raises(Unauthorized):
        await queue.one("ann", guard.sign_in)


async def test_a_wrong_password_counts_once() -> None:
    guard, queue = Guard(), Logins()
    guard.inside = True
    with pytest.raises(Unauthorized):
        await queue.one("ann", guard.sign_in)
    assert guard.asked == 1
