"""Whether agents are heard: the seed's rule, and the clock that applies it.

Live state is two numbers for each agent in memory. Silence is measured on the clock that only moves
forward: setting the wall clock makes nobody offline, and keeps nobody online. Heartbeats change
nothing else; the database gets last words and presence in batches, and all changes of presence with
their alerts.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from actors import World
from control.model.agents import Life, Presence
from control.model.records import Alert, Severity
from control.services.events import Bus, Event, Topic
from control.store import agents, records
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import SECOND

FLUSH_EVERY: Final = 30 * SECOND
BATCH: Final = 2000  # agents of one transaction: the writer must not be held for long

Name = tuple[str, str]


class Rule(Struct, frozen=True):
    """Nanoseconds. Late after two missed heartbeats, offline after five minutes."""

    heartbeat: int = 60 * SECOND
    offline: int = 300 * SECOND

    @property
    def late(self) -> int:
        """The silence after which an agent is late."""
        return min(2 * self.heartbeat, self.offline)


def judge(rule: Rule, before: Presence, silence: int) -> Presence:
    """What an agent is after so many nanoseconds without a word from it.

    Only a word makes an agent online again: a restart of ours, after which all silences begin at
    0, turns nobody who was offline into somebody who is not.
    """
    if before is Presence.UNKNOWN or silence < rule.late:
        return before
    if silence >= rule.offline or before is Presence.OFFLINE:
        return Presence.OFFLINE
    return Presence.LATE


class Pulse:
    """What is known of one agent."""

    __slots__ = ("dirty", "heard", "presence", "since")

    def __init__(self, presence: Presence, heard: int, since: float) -> None:
        self.presence = presence
        self.heard = heard  # Unix ns of the last word, 0 for none
        self.since = since  # from when on its silence counts, on the monotonic clock
        self.dirty = False


class Watch:
    """The presence of every active agent."""

    def __init__(self, store: Store, bus: Bus, rule: Rule, world: World) -> None:
        self._store = store
        self._bus = bus
        self._rule = rule
        self._world = world
        self._pulses: dict[Name, Pulse] = {}
        self._changed: dict[Name, tuple[Presence, Presence]] = {}  # first before, now
        self._flushed = 0.0

    async def load(self) -> None:
        """Go on where the last process ended. Silence counts from now: we could not have heard."""
        now = self._world.monotonic()
        for agent in await self._store.read(agents.everywhere):
            if agent.life is Life.ACTIVE:
                self._pulses[agent.org, agent.vault] = Pulse(agent.presence, agent.last_seen, now)
        self._flushed = now

    def heard(self, org: str, vault: str) -> None:
        """A word from this agent; costs no I/O."""
        now = self._world.monotonic()
        pulse = self._pulses.get((org, vault))
        if pulse is None:
            pulse = self._pulses[org, vault] = Pulse(Presence.UNKNOWN, 0, now)
        pulse.heard, pulse.since = self._world.now(), now
        pulse.dirty = True
        if pulse.presence is not Presence.ONLINE:
            self._set((org, vault), pulse, Presence.ONLINE)

    def forget(self, org: str, vault: str) -> None:
        """An agent that is locked or retired is neither late nor missed."""
        self._pulses.pop((org, vault), None)
        self._changed.pop((org, vault), None)

    def presence(self, org: str, vault: str) -> tuple[Presence, int] | None:
        """As of this moment, and when the last word came; None for one that is not watched."""
        pulse = self._pulses.get((org, vault))
        return None if pulse is None else (pulse.presence, pulse.heard)

    def counts(self) -> dict[Presence, int]:
        """How many agents are what."""
        counts = dict.fromkeys(Presence, 0)
        for pulse in self._pulses.values():
            counts[pulse.presence] += 1
        return counts

    async def tick(self) -> None:
        """Apply the rule; store what changed with its alerts, and last words when it is time."""
        now = self._world.monotonic()
        for name, pulse in self._pulses.items():
            silence = round((now - pulse.since) * SECOND)
            found = judge(self._rule, pulse.presence, silence)
            if found is not pulse.presence:
                self._set(name, pulse, found)
        if self._changed or (now - self._flushed) * SECOND >= FLUSH_EVERY:
            await self.flush()

    async def flush(self) -> None:
        """Store everything that is only in memory."""
        self._flushed = self._world.monotonic()
        changed, self._changed = self._changed, {}
        dirty = [name for name, pulse in self._pulses.items() if pulse.dirty]
        names = list(dict.fromkeys([*changed, *dirty]))
        for start in range(0, len(names), BATCH):
            some = names[start : start + BATCH]
            try:
                await self._store.write(self._batch(some, changed))
            except Exception:
                self._restore(names[start:], changed)
                raise
            for name in some:
                if name in changed:
                    self._bus.publish(Event(Topic.PRESENCE, *name, str(changed[name][1])))

    def _batch(
        self, names: list[Name], changed: dict[Name, tuple[Presence, Presence]]
    ) -> Callable[[Tx], None]:
        words = []
        for name in names:
            if (pulse := self._pulses.get(name)) is not None:
                words.append((*name, pulse.presence, pulse.heard))
                pulse.dirty = False
        raised = [
            alert
            for name in names
            if name in changed and (alert := self._alert(name, *changed[name])) is not None
        ]

        def change(tx: Tx) -> None:
            agents.heard(tx, words)
            records.add_alerts(tx, *raised)

        return change

    def _restore(self, names: list[Name], changed: dict[Name, tuple[Presence, Presence]]) -> None:
        """Nothing was stored of these: they are due again."""
        for name in names:
            if (pulse := self._pulses.get(name)) is not None:
                pulse.dirty = True
                if name in changed:
                    self._changed.setdefault(name, changed[name])

    def _set(self, name: Name, pulse: Pulse, presence: Presence) -> None:
        before, _ = self._changed.get(name, (pulse.presence, presence))
        pulse.presence = presence
        pulse.dirty = True
        self._changed[name] = (before, presence)

    def _alert(self, name: Name, before: Presence, now: Presence) -> Alert | None:
        """Offline, and back from it. Being late for a while is shown, but wakes nobody."""
        if before is now or Presence.OFFLINE not in (before, now):
            return None
        gone = now is Presence.OFFLINE
        told = "has not been heard any more" if gone else "is heard again"
        return Alert(
            id=self._world.new_id(),
            org=name[0],
            vault=name[1],
            code="agent_offline" if gone else "agent_online",
            severity=Severity.CRITICAL if gone else Severity.INFO,
            message=f"agent {name[1]} {told}",
            at=self._world.now(),
            acknowledged_by="",
            acknowledged_at=0,
        )
