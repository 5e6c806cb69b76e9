"""Rounds: a fault at a random moment under writers, then a start, then the oracle."""

import contextlib
import http.client
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

from loadtests.agent_process import Agent, AgentError
from loadtests.durability.history import Round, Write
from loadtests.durability.operations import ClientOperation
from loadtests.durability.oracle import judge
from loadtests.durability.process import Weakness, begin
from loadtests.durability.writers import RoundHistory, running_writers, send_write

LONGEST: Final = 1.5  # seconds of writing before the fault
BEGUN_WITHIN: Final = 10.0  # seconds until a write is acknowledged, a read answered, if it is slow
STRUCK_STARTS: Final = 4  # every so many rounds the start after the fault is struck as well
START: Final = 1.2  # seconds that a start takes at least
LIFE: Final = 25  # rounds of one vault: its log is read whole after each


class FaultTarget(Protocol):
    """An agent, what befalls it, and how it is brought back."""

    agent: Agent

    def inject(self) -> None:
        """The fault; may be called while another thread waits for the agent."""

    def recover(self) -> None:
        """After it: the agent is down and can be started."""

    def close(self) -> None:
        """Leave nothing behind."""


MakeTarget = Callable[[Path], FaultTarget]


def run_rounds(
    make: MakeTarget,
    folder: Path,
    *,
    rounds: int,
    chance: random.Random,
    weakness: Weakness = "",
) -> Iterator[Round]:
    """That many rounds, on a new vault every `LIFE` of them. Raises `AgentError` without one."""
    number = 0
    while number < rounds:
        here = folder / f"life-{number}"
        here.mkdir()
        victim = make(here)
        try:
            begin(victim.agent, weakness)
            for this in _life(victim, min(LIFE, rounds - number), chance):
                number += 1
                yield this
        finally:
            victim.close()


def _life(victim: FaultTarget, rounds: int, chance: random.Random) -> Iterator[Round]:
    """Rounds on one vault; at the last the oracle is asked about all of its writes."""
    everything, deeds, reads = list[Write](), list[ClientOperation](), list[str]()
    for number in range(1, rounds + 1):
        work = _write_until_struck(victim, number, chance)
        this = Round(work.writes)
        idle = [] if this.count("ok") else ["no write was acknowledged, so that nothing was shown"]
        if number % STRUCK_STARTS == 0:
            _strike_a_start(victim, chance)
        try:
            victim.agent.start()
        except AgentError as error:
            this.findings = [
                *idle,
                f"the agent does not start again: {str(error).splitlines()[-1:]}",
            ]
            yield this
            return  # there is nothing to go on with
        idle += _write_again(victim.agent, number, this.writes)
        everything += this.writes
        deeds += work.deeds
        reads += work.reads
        last = number == rounds
        asked = (everything, deeds, reads) if last else (this.writes, work.deeds, work.reads)
        if not work.reads:
            idle.append("no read was answered, so that nothing was shown")
        this.findings = idle + judge(victim.agent, *asked)
        yield this


def _write_again(agent: Agent, number: int, writes: list[Write]) -> list[str]:
    """One write after a start, added to the others: an agent that takes none is not back."""
    write = Write(f"secret/round-{number}/after", f"{number}-after")
    writes.append(write)
    with contextlib.suppress(OSError, http.client.HTTPException), agent.client() as client:
        answer = send_write(client, write)
        if write.state != "ok":
            return [f"{write}: not taken after the start, answered {answer.status}"]
        return []
    return [f"{write}: nobody answers after the start"]


def _write_until_struck(victim: FaultTarget, number: int, chance: random.Random) -> RoundHistory:
    with running_writers(victim.agent, number, chance) as work:
        time.sleep(chance.uniform(0.05, LONGEST))
        work.begun.wait(BEGUN_WITHIN)
        work.seen.wait(BEGUN_WITHIN)
        victim.inject()
    victim.recover()
    return work


def _strike_a_start(victim: FaultTarget, chance: random.Random) -> None:
    """The fault once more, during the start and its recovery."""

    def strike() -> None:
        time.sleep(chance.uniform(0.3, START))
        victim.inject()

    with ThreadPoolExecutor(1) as other:
        struck = other.submit(strike)
        with contextlib.suppress(AgentError):  # struck before it was ready, as was meant
            victim.agent.start()
        struck.result()
    victim.recover()
