"""A process with some of the simulated agents; it does what its standard input asks.

`python -m loadtests.fleet.client RECRUITS HOST PORT`, then a JSON object a line:
{"do": "connect", "within": S}, {"do": "beat", "seconds": S}, {"do": "applied", "version": N,
"within": S}. It answers each with a line, of those agents that were there in time; at the end of
the input it is gone. Times are those of the machine's monotonic clock.
"""

import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import trio

from loadtests.fleet.agent import SimulatedAgent
from loadtests.fleet.bulk_enrolment import load_agents
from protocols.link.limits import DEAD_SECONDS

DIALLING: Final = 12
"""Connections that one client opens at a time: more would only wait, and some for too long."""
BEATING: Final = 32
"""Agents that beat at a time."""
BEATS: Final = 10
"""Heartbeats before an answer is awaited."""


class FleetClient:
    """Its agents, and what can be asked of them."""

    def __init__(
        self, agents: list[SimulatedAgent], losses: Counter[str], nursery: trio.Nursery
    ) -> None:
        self._agents = agents
        self._losses = losses
        self._nursery = nursery

    async def run_command(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The answer to one line."""
        match asked["do"]:
            case "connect":
                return await self._connect(asked["within"])
            case "beat":
                return await self._beat(asked["seconds"])
            case "applied":
                return await self._applied(asked["version"], asked["within"])
        raise ValueError(f"unknown: {asked['do']}")

    async def _connect(self, within: float) -> dict[str, Any]:
        dialling = trio.CapacityLimiter(DIALLING)

        async def one(agent: SimulatedAgent) -> None:
            async with dialling:
                self._nursery.start_soon(agent.run)
                while not agent.opened_at:
                    await agent.opened.wait()

        with trio.move_on_after(within):
            async with trio.open_nursery() as nursery:
                for agent in self._agents:
                    nursery.start_soon(one, agent)
        return self._told(times=[agent.opened_at for agent in self._agents if agent.opened_at])

    async def _beat(self, seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        trips: list[float] = []
        with trio.move_on_after(seconds + DEAD_SECONDS):  # some may never be linked
            async with trio.open_nursery() as nursery:
                for first in range(min(BEATING, len(self._agents))):
                    turns = cycle(self._agents[first::BEATING])
                    nursery.start_soon(_beat_in_turn, turns, end, trips)
        return self._told(beats=len(trips) * BEATS, trips=trips)

    async def _applied(self, version: int, within: float) -> dict[str, Any]:
        with trio.move_on_after(within):
            for agent in self._agents:
                await agent.applied(version)
        times = [agent.applied_at(version) for agent in self._agents]
        return self._told(times=[when for when in times if when])

    def _told(self, **answer: Any) -> dict[str, Any]:
        return {"losses": dict(self._losses), **answer}


async def _beat_in_turn(turns: Iterator[SimulatedAgent], end: float, trips: list[float]) -> None:
    while time.monotonic() < end:
        if trip := await next(turns).beat(BEATS):
            trips.append(trip)


async def main(file: Path, host: str, port: int) -> None:
    """Serve the standard input until it ends."""
    losses: Counter[str] = Counter()
    agents = [
        SimulatedAgent(number, recruit, (host, port), losses)
        for number, recruit in enumerate(load_agents(file))
    ]
    gc.disable()  # all of it stays, and looking at it again and again is most of what a client does
    async with trio.open_nursery() as nursery:
        client = FleetClient(agents, losses, nursery)
        print(json.dumps({"ready": len(agents)}), flush=True)
        while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            print(json.dumps(await client.run_command(json.loads(line))), flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(partial(main, Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
