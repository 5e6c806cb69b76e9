"""What a supervisor knows about one child, and the name of each phase of the child's life."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import trio

from actors.cell import Supervised
from actors.child import Strategy
from actors.restart import Restart


class Phase(Enum):
    """Down → starting → running → ended → down again, or done."""

    DOWN = "down"
    """To be started: when its back-off is over and, in a group, when its elders are settled."""
    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"
    """Its life is over and not yet judged."""
    DONE = "done"
    """Will not come back."""


@dataclass(eq=False)
class ChildState:
    """One child's place among its siblings."""

    member: Supervised
    restart: Restart
    phase: Phase = Phase.DOWN
    due: bool = True
    in_order: bool = True
    """Starts only once all earlier siblings are settled (first start, restart of a group)."""
    outcome: Exception | None = None
    ended: trio.Event = field(default_factory=trio.Event)
    backoff: trio.CancelScope = field(default_factory=trio.CancelScope)
    starts: int = 0
    last_failure: str | None = None

    @property
    def is_alive(self) -> bool:
        """Whether a task of it runs."""
        return self.phase in (Phase.STARTING, Phase.RUNNING)

    @property
    def is_settled(self) -> bool:
        """Whether those who depend on it may start."""
        return self.phase in (Phase.RUNNING, Phase.DONE)

    def will_restart(self, *, stopped_by_us: bool = False) -> bool:
        """Whether the child is to live again after the end it just had."""
        if self.restart is Restart.TRANSIENT:
            return stopped_by_us or self.outcome is not None
        return self.restart is Restart.PERMANENT

    def await_start(self, *, in_order: bool) -> None:
        """Down, and not due before somebody says so."""
        self.phase, self.due, self.in_order = Phase.DOWN, False, in_order

    def starting(self) -> None:
        """A new life begins."""
        self.phase, self.outcome, self.ended = Phase.STARTING, None, trio.Event()
        self.starts += 1
        self.member.begin()

    def end(self, outcome: Exception | None) -> None:
        """The life is over."""
        self.phase, self.outcome = Phase.ENDED, outcome
        self.ended.set()

    def retire(self) -> None:
        """No further life."""
        self.phase = Phase.DONE
        self.member.close()


def affected_children(
    strategy: Strategy, states: Sequence[ChildState], failed: ChildState
) -> list[ChildState]:
    """The children to restart when `failed` fails, in start order, without those that are done."""
    if strategy is Strategy.ONE_FOR_ONE:
        return [failed]
    first = states.index(failed) if strategy is Strategy.REST_FOR_ONE else 0
    return [state for state in states[first:] if state.phase is not Phase.DONE]
