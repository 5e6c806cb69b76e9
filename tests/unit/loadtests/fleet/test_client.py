"""What a client answers of agents that are not there in time."""

import time
from collections import Counter
from typing import Any, cast

import pytest
import trio

from loadtests.fleet import client
from loadtests.fleet.agent import SimulatedAgent
from loadtests.fleet.client import FleetClient


class Never:
    """An agent that the control plane does not let in."""

    opened_at = 0.0

    def __init__(self) -> None:
        self.opened = trio.Event()

    async def run(self) -> None:
        """Try for good."""
        await trio.sleep_forever()

    async def beat(self, number: int) -> float:
        """Wait for the link."""
        del number
        await trio.sleep_forever()

    async def applied(self, version: int) -> None:
        """Wait for the policy."""
        del version
        await trio.sleep_forever()

    def applied_at(self, version: int) -> float:
        """Not yet."""
        del version
        return 0.0


class Quick(Never):
    """One that is linked, and has what it is sent."""

    opened_at = 7.0

    async def beat(self, number: int) -> float:
        """At once."""
        await trio.sleep(0.01)
        return float(number)

    async def applied(self, version: int) -> None:
        """It has it."""

    def applied_at(self, version: int) -> float:
        """As early as the version says."""
        return float(version)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"do": "connect", "within": 0.05}, [7.0]),
        ({"do": "applied", "version": 3, "within": 0.05}, [3.0]),
    ],
)
async def test_who_is_not_there_in_time_is_left_out(
    asked: dict[str, Any], found: list[float]
) -> None:
    """The run goes on with the others and says how many are missing; it does not hang."""
    async with trio.open_nursery() as nursery:
        agents = cast("list[SimulatedAgent]", [Never(), Quick()])
        answer = await FleetClient(agents, Counter(tls=1), nursery).run_command(asked)
        nursery.cancel_scope.cancel()
    assert answer == {"losses": {"tls": 1}, "times": found}


async def test_a_turn_of_heartbeats_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though an agent that has its turn is never linked."""
    monkeypatch.setattr(client, "DEAD_SECONDS", 0.05)
    began = time.monotonic()
    async with trio.open_nursery() as nursery:
        agents = cast("list[SimulatedAgent]", [Never(), Quick()])
        answer = await FleetClient(agents, Counter(), nursery).run_command(
            {"do": "beat", "seconds": 0.05}
        )
        nursery.cancel_scope.cancel()
    assert answer["beats"] == 10 * len(answer["trips"]) > 0
    assert time.monotonic() - began < 60
