"""Presence, judged by the true time: what the control plane says of an agent it has not heard."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from control.model.agents import State
from control.services.presence import PresenceTracker
from tests.simulation.oracle import broken

LATE: Final = 120.0
OFFLINE: Final = 300.0
SLACK: Final = 25.0
"""Seconds: the rule is applied each second, by a process whose disk may take a few."""


@dataclass
class Attendance:
    """Of one life of a control plane. `heard`: agent → when it was, by the true time."""

    watch: PresenceTracker
    since: float
    heard: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, watch: PresenceTracker) -> "Attendance":
        """From now on; the watch tells of each word."""
        made = cls(watch, trio.current_time())
        before: Callable[[str, str], None] = watch.record_message
        hooked: Any = watch

        def heard(org: str, vault: str) -> None:
            made.heard[vault] = trio.current_time()
            before(org, vault)

        hooked.record_message = heard
        return made

    def check(self, org: str, agents: list[str]) -> None:
        """Raises `BrokenError` where the rule is broken by more than `SLACK`."""
        now = trio.current_time()
        for agent in agents:
            known = self.watch.status_of(org, agent)
            if known is None or known[0] is State.UNKNOWN:
                continue
            silence = now - self.heard.get(agent, self.since)
            self._judge(agent, known[0], silence, spoke=agent in self.heard)

    @staticmethod
    def _judge(agent: str, said: State, silence: float, *, spoke: bool) -> None:
        if silence > OFFLINE + SLACK and said is not State.OFFLINE:
            broken("presence", f"{agent} is {said} after {silence:.0f} s of silence")
        if spoke and silence < LATE - SLACK and said is not State.ONLINE:
            broken("presence", f"{agent} is {said} {silence:.0f} s after a word")
        if spoke and silence < OFFLINE - SLACK and said is State.OFFLINE:
            broken("presence", f"{agent} is {said} {silence:.0f} s after a word")
