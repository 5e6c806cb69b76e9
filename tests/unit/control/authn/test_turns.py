"""Tests of turns: few at once, fewer of one key, and nothing kept of who has gone."""

import trio
from trio.testing import wait_all_tasks_blocked

from control.authn.turns import Turns


async def test_one_key_never_has_all() -> None:
    """Others go ahead of those that wait for it; in all there are no more than that."""
    turns = Turns(total=3, each=2)
    inside: list[str] = []

    async def take(key: str) -> None:
        async with turns.of(key):
            inside.append(key)
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for key in "aaaabbc":
            nursery.start_soon(take, key)
            await wait_all_tasks_blocked()
        assert inside == ["a", "a", "b"]
        assert turns.keys == {"a", "b", "c"}
        nursery.cancel_scope.cancel()
    assert turns.keys == frozenset()


async def test_who_waits_comes_next() -> None:
    """Also after one that was cancelled while it waited; the last one leaves nothing behind."""
    turns = Turns(total=1, each=1)
    done: list[int] = []

    async def take(number: int, scope: trio.CancelScope) -> None:
        with scope:
            async with turns.of("a"):
                done.append(number)
                await wait_all_tasks_blocked()

    scopes = [trio.CancelScope() for _ in range(3)]
    async with trio.open_nursery() as nursery, turns.of("a"):
        for number, scope in enumerate(scopes):
            nursery.start_soon(take, number, scope)
            await wait_all_tasks_blocked()
        scopes[0].cancel()
        await wait_all_tasks_blocked()
    assert done == [1, 2]
    assert turns.keys == frozenset()
