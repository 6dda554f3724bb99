"""Turns: few at a time, and no project waits for another's hundreds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from api.turns import Turns
from infra.domain.errors import Unavailable


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def _held(turns: Turns, project_id: str) -> AsyncIterator[None]:
    async with turns.of(project_id):
        yield


async def test_projects_take_turns_and_each_keeps_its_order() -> None:
    turns, let_in = Turns(1), []

    async def one(project_id: str, number: int) -> None:
        async with turns.of(project_id):
            let_in.append(f"{project_id}{number}")

    async with turns.of("a"):
        waiting = [asyncio.create_task(one("a", number)) for number in range(4)]
        await _settle()
        waiting += [asyncio.create_task(one(project_id, 0)) for project_id in "bc"]
        await _settle()
        assert (let_in, turns.waiting(), turns.waiting("a"), turns.waiting("x")) == ([], 6, 4, 0)
    await asyncio.gather(*waiting)
    assert let_in == ["a0", "b0", "c0", "a1", "a2", "a3"]
    assert turns.waiting() == 0


async def test_what_goes_ahead_waits_only_for_what_goes_ahead_too() -> None:
    turns, let_in = Turns(1), []

    async def one(name: str, ahead: bool) -> None:
        async with turns.of(name[0], ahead=ahead):
            let_in.append(name)

    async with turns.of("a"):
        waiting = [asyncio.create_task(one(name, False)) for name in ("a-boot", "b-boot")]
        await _settle()
        waiting += [asyncio.create_task(one(name, True)) for name in ("a-delete", "a-delete-2", "c-delete")]
        await _settle()
        # Limits on boots count boots.
        assert (turns.waiting(), turns.waiting("a"), turns.waiting("c")) == (2, 1, 0)
    await asyncio.gather(*waiting)
    assert let_in == ["a-delete", "c-delete", "a-delete-2", "a-boot", "b-boot"]


async def test_no_more_than_so_many_at_once() -> None:
    turns, inside, most = Turns(3), 0, 0

    async def one(number: int) -> None:
        nonlocal inside, most
        async with turns.of(f"p{number % 4}"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(one(number) for number in range(40)))
    assert (most, inside) == (3, 0)


async def test_who_goes_away_takes_no_turn_along() -> None:
    """Neither while it waits, nor at the moment when its turn comes."""
    turns = Turns(1)
    async with AsyncExitStack() as first:
        await first.enter_async_context(turns.of("a"))
        leaves = [asyncio.create_task(_held(turns, "a").__aenter__()) for _ in range(2)]
        await _settle()
        leaves[0].cancel()
        await _settle()
    # Its turn has come, and it has not run since.
    leaves[1].cancel()
    await asyncio.gather(*leaves, return_exceptions=True)
    assert all(task.cancelled() for task in leaves)
    async with asyncio.timeout(5), turns.of("b"):
        assert turns.waiting() == 0


async def test_a_turn_that_does_not_come_is_not_waited_for_for_ever() -> None:
    turns = Turns(1, patience=0.01)
    async with turns.of("a"):
        with pytest.raises(Unavailable):
            await _held(turns, "b").__aenter__()
    async with turns.of("c"):
        assert turns.waiting() == 0
