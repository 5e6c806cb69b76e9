"""What must hold, told from outside: the oracle sees both ends at once, which neither end can."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, NoReturn

import trio

from protocols.link.messages import Message

STAMPEDE_SECONDS: Final = 1.0
LONG: Final = 30.0
"""Seconds without a connection after which a fleet must be spread: whoever has tried for as long
draws the next pause from a window of 16 s or more. Before that it comes back within a second, two
or four, as docs/spec/link.md wants it: of sixteen agents whose control plane was away for two
seconds more than ten come within one second in 12 runs of 100. (20,000 drawn for each figure.)"""


class BrokenError(BaseException):
    """An invariant does not hold; `name` says which. No product code may swallow it."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name}: {what}")
        self.name = name


def broken(name: str, what: str) -> NoReturn:
    """Raise `BrokenError` with the time of it."""
    raise BrokenError(name, f"{what} (at {trio.current_time():.3f} s)")


@dataclass
class Stream:
    """One direction of one agent: what was written durably, and what became of it."""

    name: str
    written: dict[int, Message] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    """Let go by the sender, as it may."""
    applied: dict[int, Message] = field(default_factory=dict)
    last: int = 0

    def write(self, id_: int, message: Message) -> None:
        """The sender's outbox holds it durably."""
        if id_ in self.written:
            broken("ids", f"{self.name}: id {id_} was given twice")
        self.written[id_] = message

    def apply(self, id_: int, message: Message | None) -> None:
        """The receiver has done it durably (None: moved on, as told that it never comes)."""
        if id_ <= self.last:
            broken("once", f"{self.name}: {id_} has an effect behind {self.last}")
        if message is None:
            skipped = set(range(self.last + 1, id_ + 1))
            if lost := skipped - self.dropped:
                broken("lost", f"{self.name}: {sorted(lost)} were skipped but never let go")
        elif id_ != self.last + 1:
            broken("order", f"{self.name}: {id_} follows {self.last}")
        elif self.written.get(id_) != message:
            broken("true", f"{self.name}: {id_} is not what was written")
        else:
            self.applied[id_] = message
        self.last = id_

    def acknowledged(self, through: int) -> None:
        """The sender forgets all up to here."""
        if through > self.last:
            broken("durable", f"{self.name}: {through} acknowledged, {self.last} durable")

    def settled(self) -> None:
        """In the end nothing is missing."""
        missing = set(self.written) - set(self.applied) - self.dropped
        if missing:
            broken("arrived", f"{self.name}: {sorted(missing)[:5]} never came")


async def watch(checks: list[Callable[[], None]], every: float) -> None:
    """All checks, again and again; the first that fails ends the run."""
    while True:
        await trio.sleep(every)
        for check in checks:
            check()


class Arrival(NamedTuple):
    """A connection that was made. `waited`: seconds that its agent had tried for one."""

    at: float
    waited: float


def stampede(arrivals: list[Arrival], since: float, agents: int) -> None:
    """After `since` no virtual second sees more than a share of a fleet that waited for `LONG`."""
    bound = max(4, agents // 2)  # more by chance: in less than one of 10,000 runs, of any size
    times = [arrival.at for arrival in arrivals if arrival.at >= since and arrival.waited >= LONG]
    for first, later in zip(times, times[bound:], strict=False):
        if later - first < STAMPEDE_SECONDS:
            broken("stampede", f"{bound + 1} connections within {later - first:.3f} s")
