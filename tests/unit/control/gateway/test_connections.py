"""Who is connected is bounded, and found by name."""

from contextlib import ExitStack

import pytest
import trio

from control.gateway.connections import MAX_CONNECTIONS_PER_AGENT, Connections
from protocols.link.errors import TransportError
from protocols.pki.names import AgentName

ONE, TWO = AgentName("acme", "one"), AgentName("acme", "two")


async def test_one_agent_cannot_take_all_seats() -> None:
    """Beyond its few it is turned away; others are not."""
    roster = Connections()
    with ExitStack() as seats:
        for _ in range(MAX_CONNECTIONS_PER_AGENT):
            seats.enter_context(roster.register(ONE))
        with pytest.raises(TransportError, match="crowded"), roster.register(ONE):
            pass
        with roster.register(TWO):
            pass
    with roster.register(ONE):
        pass


async def test_a_cut_ends_every_connection_of_that_agent() -> None:
    """And nobody else's, whether or not it has proven itself."""
    roster, ended = Connections(), []

    async def hold(name: AgentName) -> None:
        with roster.register(name):
            await trio.sleep_forever()
        ended.append(name)

    async with trio.open_nursery() as nursery:
        for name in (ONE, ONE, TWO):
            nursery.start_soon(hold, name)
        await trio.testing.wait_all_tasks_blocked()
        roster.disconnect(ONE)
        await trio.testing.wait_all_tasks_blocked()
        assert ended == [ONE, ONE]
        nursery.cancel_scope.cancel()


async def test_a_cut_spares_who_came_by_a_newer_certificate() -> None:
    """Not who has not shown one yet; without a generation it spares nobody."""
    roster, ended = Connections(), []

    async def hold(generation: int) -> None:
        with roster.register(ONE) as seat:
            seat.generation = generation
            await trio.sleep_forever()
        ended.append(generation)

    async with trio.open_nursery() as nursery:
        for generation in (0, 1, 2, 3):
            nursery.start_soon(hold, generation)
        await trio.testing.wait_all_tasks_blocked()
        roster.disconnect(ONE, 2)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(ended) == [0, 1]
        roster.disconnect(ONE)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(ended) == [0, 1, 2, 3]
        nursery.cancel_scope.cancel()


async def test_a_cut_of_nobody_is_nothing() -> None:
    """An agent may have gone a moment before."""
    Connections().disconnect(ONE)
