"""How a run ends: each agent is judged at a moment of its own."""

import pytest
import trio

from tests.simulation.bare import BareFleet
from tests.simulation.havoc import Havoc
from tests.simulation.machine import Disk
from tests.simulation.network import Network
from tests.simulation.oracle import BrokenError, broken
from tests.simulation.process import Process
from tests.simulation.scenario import HEAL_SECONDS, _settle
from tests.simulation.scheduler import chance_of, simulate
from tests.simulation.trace import Trace

NAMES = ["a", "b"]


class Busy(BareFleet):
    """Of agents that take turns, a minute each, at having something under way."""

    def __init__(self, *, always: str = "", lacks: str = "") -> None:
        """`always`: one that has it all the time; `lacks`: one that something never reached."""
        self.judged: dict[str, float] = {}
        self._always = always
        self._lacks = lacks

    def waiting(self) -> set[str]:
        """See `Fleet`."""
        return {NAMES[int(trio.current_time() // 60) % 2], self._always}

    def arrived(self, name: str) -> None:
        """See `Fleet`."""
        self.judged[name] = trio.current_time()
        if name == self._lacks:
            broken("counted", name)


def settle(fleet: Busy) -> None:
    """To the end of it."""
    simulate(0, _settle, fleet, NAMES)


def test_each_agent_has_a_moment_of_its_own() -> None:
    """There is none at which nobody has anything under way, and none is needed."""
    fleet = Busy()
    settle(fleet)
    assert set(fleet.judged) == set(NAMES)
    assert max(fleet.judged.values()) < HEAL_SECONDS / 2


def test_what_never_arrives_is_found() -> None:
    """By an agent that is quiet without it, and by one that never is."""
    with pytest.raises(BrokenError, match="counted: b"):
        settle(Busy(lacks="b"))
    with pytest.raises(BrokenError, match="counted: b"):
        settle(Busy(always="b", lacks="b"))
    with pytest.raises(BrokenError, match="arrived: b: something waits at every look"):
        settle(Busy(always="b"))


def test_a_healed_connection_is_as_quick_as_any() -> None:
    """Also one that was overtaken and lives on."""

    async def main() -> float:
        trace = Trace()
        network = Network(0, trace)

        async def idle(_: object) -> None:
            """Nothing lives."""

        disk = Disk(chance_of(0, "disk"))
        process = Process("a", idle, chance_of(0, "process"), disk, trace)
        async with trio.open_nursery() as nursery:
            with network.listening(nursery, idle):
                pipe = await network.connect("a", lambda: (b"", b""))
        network.path("a").lag(40.0)
        Havoc(network, {"a": process}, trace, lambda _: None).heal()
        begun = trio.current_time()
        network.path("a").conns[1].ways["down"].put(b"frame")
        await pipe.receive()
        return trio.current_time() - begun

    assert simulate(0, main) < 10
