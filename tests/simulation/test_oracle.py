"""What the oracle takes for a stampede, and how long an agent has waited."""

import pytest
import trio

from tests.simulation.network import Network
from tests.simulation.oracle import LONG, Arrival, BrokenError, stampede
from tests.simulation.scheduler import simulate
from tests.simulation.trace import Trace


def judge(arrivals: list[Arrival], agents: int) -> None:
    """What broke is raised with the time of a run, so there has to be one."""

    async def main() -> None:
        stampede(arrivals, 100.0, agents)

    simulate(0, main)


def together(count: int, waited: float, at: float = 200.0) -> list[Arrival]:
    """So many connections within half a second."""
    return [Arrival(at + number * 0.5 / count, waited) for number in range(count)]


def test_a_fleet_that_waited_long_comes_back_spread() -> None:
    """More than half of it within one second is a stampede; half of it, or over seconds, is not."""
    with pytest.raises(BrokenError, match="stampede: 9 connections within"):
        judge(together(9, LONG), 16)
    judge(together(8, LONG), 16)
    judge([*together(8, LONG), *together(8, LONG, 201.0)], 16)
    judge(together(9, LONG, 50.0), 16)  # before the world was healed


def test_whoever_lost_it_just_now_may_come_back_at_once() -> None:
    """As all sixteen do whose control plane was away for a moment: the first windows are small."""
    judge(together(16, LONG - 0.1), 16)


def test_an_agent_waits_from_its_connection_s_end() -> None:
    """Whoever ended it; and one that was down, or not let in, since it could try."""

    async def main() -> list[float]:
        network = Network(0, Trace())

        async def serve(_: object) -> None:
            """Takes no notice."""

        async with trio.open_nursery() as nursery:
            with network.listening(nursery, serve):
                network.begins("a")
                pipe = await network.connect("a", lambda: (b"", b""))
                await trio.sleep(100)
                await pipe.aclose()
                await trio.sleep(40)
                await pipe.aclose()
                await network.connect("a", lambda: (b"", b""))
                network.die("agent", ["a"], mute=True)
                await trio.sleep(500)
                network.begins("a")
                await network.connect("a", lambda: (b"", b""))
        return [arrival.waited for arrival in network.arrivals]

    first, second, third = simulate(0, main)
    assert first < 1
    assert 40 <= second < 41
    assert third < 1
