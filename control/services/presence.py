"""Whether agents are heard: the seed's rule, and the clock that applies it.

Live state is a few numbers for each agent in memory. Silence is measured on the clock that only
moves forward: setting the wall clock makes nobody offline, and keeps nobody online. Heartbeats
change nothing else; the database gets last words and presence in batches, and all changes of
presence with their alerts.

Where several processes share the work, each stores the words that it has heard, all of them compare
what they know with the database, and the one that leads judges silence: any other could at once.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from actors import World
from control.model.agents import Agent, Health, Life, Presence, State, status_of
from control.model.conditions import REFUSING, REPORTED, SEALED, alert_message
from control.model.records import Alert, Severity
from control.services import agent_registry
from control.services.alerts import alert_event
from control.services.event_bus import Event, EventBus, Topic
from control.services.organization_batches import run_by_organization
from control.services.presence_store import AgentKey, PresenceResult, PresenceUpdate, store_presence
from control.store import agents, alerts
from control.store.lease import Lease
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import MINUTE, SECOND
from protocols.link.vocabulary import WARNINGS
from protocols.pki.names import AgentName

FLUSH_INTERVAL: Final = 30 * SECOND
SHARED_FLUSH_INTERVAL: Final = 10 * SECOND
"""The same with other processes, which learn by it whom we have heard."""
COMPARE_INTERVAL: Final = 5 * SECOND
"""10,000 agents are some 20 ms in a thread."""
_COUNTED: Final = tuple(state for state in State if state not in {*Life})
AGENTS_PER_TRANSACTION: Final = (
    2000  # agents of one transaction: the writer must not be held for long
)
_BY_HEALTH: Final = frozenset({SEALED, REFUSING})


class HealthReport(NamedTuple):
    """What an agent says: `alerts` fire from now on, what fires of `over` ends."""

    name: AgentName
    health: Health
    sync: str
    alerts: tuple[Alert, ...]
    over: frozenset[str]
    now: int


def health_report(
    name: AgentName, health: str, sync: str, codes: frozenset[str] | None, world: World
) -> HealthReport:
    """What follows of a heartbeat and of the `Conditions` before it, if the agent has any.

    A sealed agent cannot look at its audit log or its keys: what it said of them stands.
    """
    word = Health(health)
    if word is Health.SERVING and codes:
        word = Health.DEGRADED
    fires = (codes or frozenset()) & REPORTED - _BY_HEALTH
    fires |= {str(word)} & _BY_HEALTH
    known = _BY_HEALTH if codes is None or word is Health.SEALED else REPORTED | _BY_HEALTH
    now = world.now()
    made = tuple(_alert(name, code, world.new_id(), now) for code in sorted(fires))
    return HealthReport(name, word, sync, made, frozenset(known - fires), now)


def record_health(tx: Tx, said: Sequence[HealthReport]) -> list[Sequence[Event]]:
    """Put on record what is new; of each what is to be published."""

    def note(tx: Tx, org: str, places: Sequence[int]) -> list[Sequence[Event]]:
        return _record_organization(tx, org, [said[place] for place in places])

    return run_by_organization(tx, [each.name for each in said], note)


def _record_organization(tx: Tx, org: str, said: Sequence[HealthReport]) -> list[Sequence[Event]]:
    now = said[0].now
    vaults = [each.name.vault for each in said]
    rows = [row for row in agents.get_agents(tx, org, vaults) if row.life is Life.ACTIVE]
    before = {row.vault: row.health for row in rows}
    agent_registry.record_facts(
        tx, org, {each.name.vault: {"sync": each.sync} for each in said}, now=now
    )
    other = {
        each.name.vault: each.health
        for each in said
        if before.get(each.name.vault, each.health) is not each.health
    }
    agents.put_health(tx, org, other)
    fires = (alert for each in said if each.name.vault in before for alert in each.alerts)
    found = alerts.fire_alerts(tx, *fires, repeat=False)
    for over in {each.over for each in said}:
        some = [each.name.vault for each in said if each.over == over]
        found += alerts.resolve_alerts(tx, org, over, some, now=now)
    events: dict[str, list[Event]] = {vault: [] for vault in vaults}
    for vault, health in other.items():
        events[vault].append(Event(Topic.HEALTH, org, vault, str(health)))
    for alert in found:
        events[alert.vault].append(alert_event(alert))
    return [events[vault] for vault in vaults]


def _alert(name: AgentName, code: str, identifier: str, now: int) -> Alert:
    return Alert(
        id=identifier,
        org=name.org,
        vault=name.vault,
        code=code,
        severity=Severity.WARNING if code in WARNINGS else Severity.CRITICAL,
        message=alert_message(code, name.vault),
        at=now,
        acknowledged_by="",
        acknowledged_at=0,
        last_at=now,
    )


class PresenceRule(Struct, frozen=True):
    """Nanoseconds. Late after two missed heartbeats, offline after five minutes."""

    heartbeat: int = MINUTE
    offline: int = 300 * SECOND

    @property
    def late(self) -> int:
        """The silence after which an agent is late."""
        return min(2 * self.heartbeat, self.offline)


def judge_presence(rule: PresenceRule, before: Presence, silence: int) -> Presence:
    """What an agent is after so many nanoseconds without a word from it.

    Only a word makes an agent online again: a restart of ours, after which all silences begin at
    0, turns nobody who was offline into somebody who is not.
    """
    if before is Presence.UNKNOWN or silence < rule.late:
        return before
    if silence >= rule.offline or before is Presence.OFFLINE:
        return Presence.OFFLINE
    return Presence.LATE


class AgentPresence:
    """What is known of one agent."""

    __slots__ = ("dirty", "health", "heard", "here", "presence", "since", "stored")

    def __init__(
        self,
        presence: Presence,
        heard: int,
        since: float,
        health: Health = Health.UNSAID,
    ) -> None:
        self.presence = presence
        self.health = health  # as it said last, and as it is stored
        self.heard = heard  # Unix ns of the last word, 0 for none
        self.since = since  # from when on its silence counts, on the monotonic clock
        self.stored = heard  # what the database has as its last word
        self.here = False  # whether its last word was heard by this process
        self.dirty = False

    @property
    def status(self) -> State:
        """Of an agent that is active: others are not watched."""
        return status_of(Life.ACTIVE, self.presence, self.health)


class PresenceTracker:
    """The presence of every active agent."""

    def __init__(
        self,
        store: Store,
        bus: EventBus,
        rule: PresenceRule,
        world: World,
        lease: Lease | None = None,
    ) -> None:
        """`lease` is that of the store, but in tests."""
        self._store = store
        self._bus = bus
        self._rule = rule
        self._world = world
        self._lease = lease or store.lease
        self._agents: dict[AgentKey, AgentPresence] = {}
        self._changed: set[AgentKey] = set()
        self._flushed = 0.0
        self._compared = 0.0
        self._blind = False
        self._led = self._lease.leads
        self._flush_every = FLUSH_INTERVAL
        self._compare_every = min(COMPARE_INTERVAL, rule.late // 4)
        if self._lease.shared:
            self._flush_every = min(SHARED_FLUSH_INTERVAL, rule.late // 4)

    async def load(self) -> None:
        """Go on where the last process ended. Silence counts from now: we could not have heard."""
        now = self._world.monotonic()
        for org, vault, presence, heard, health in await self._store.read(agents.list_presence):
            self._agents[org, vault] = AgentPresence(presence, heard, now, health)
        self._flushed = self._compared = now

    def record_message(self, org: str, vault: str) -> None:
        """A word from this agent; costs no I/O."""
        now = self._world.monotonic()
        pulse = self._agents.get((org, vault))
        if pulse is None:
            pulse = self._agents[org, vault] = AgentPresence(Presence.UNKNOWN, 0, now)
        pulse.heard, pulse.since = self._world.now(), now
        pulse.dirty = pulse.here = True
        if pulse.presence is not Presence.ONLINE:
            self._set_presence((org, vault), pulse, Presence.ONLINE)

    def record_known_message(self, org: str, vault: str) -> None:
        """The same, of one that is watched: the last words of one that was just ended count not."""
        if (org, vault) in self._agents:
            self.record_message(org, vault)

    def set_health(self, org: str, vault: str, health: Health) -> None:
        """How this agent says that it is, once that is stored."""
        if (pulse := self._agents.get((org, vault))) is not None:
            pulse.health = health

    def forget(self, org: str, vault: str) -> None:
        """An agent that is locked or retired is neither late nor missed."""
        self._agents.pop((org, vault), None)
        self._changed.discard((org, vault))

    def status_of(self, org: str, vault: str) -> tuple[State, int] | None:
        """As of this moment, and when the last word came; None for one that is not watched."""
        pulse = self._agents.get((org, vault))
        return None if pulse is None else (pulse.status, pulse.heard)

    def with_current_presence(self, agent: Agent) -> Agent:
        """The agent as of this moment: what is known here, unless what is stored is newer."""
        pulse = self._agents.get((agent.org, agent.vault))
        if pulse is None or (self._lease.shared and pulse.heard <= agent.last_seen):
            return agent
        return replace(agent, presence=pulse.presence, last_seen=pulse.heard, health=pulse.health)

    def list_statuses(self) -> Iterator[tuple[str, State]]:
        """Organization and state of every agent that is watched."""
        return ((name[0], pulse.status) for name, pulse in self._agents.items())

    def count_by_status(self) -> dict[State, int]:
        """How many of the active agents are in each state."""
        counts = dict.fromkeys(_COUNTED, 0)
        for pulse in self._agents.values():
            counts[pulse.status] += 1
        return counts

    def restart_silence(self) -> None:
        """Another process has died: what it had heard, and nobody was told yet, is no silence."""
        now, untold = self._world.monotonic(), (self._flush_every + self._compare_every) / SECOND
        for pulse in self._agents.values():
            if not pulse.here:
                pulse.since = min(now, pulse.since + untold)

    async def update(self) -> None:
        """Apply the rule; store what changed with its alerts, and last words when it is time."""
        now = self._world.monotonic()
        due = self._blind or (now - self._compared) * SECOND >= self._compare_every
        if self._lease.shared and due:
            await self._compare_with_store()
        if self._lease.leads:
            if not self._led:
                self.restart_silence()
            self._judge_all(now)
        self._led = self._lease.leads
        if self._changed or (now - self._flushed) * SECOND >= self._flush_every:
            await self.store_changes()

    async def store_changes(self) -> None:
        """Store everything that is only in memory."""
        self._flushed = self._world.monotonic()
        changed, self._changed = self._changed, set()
        dirty = [name for name, pulse in self._agents.items() if pulse.dirty]
        names = list(dict.fromkeys([*sorted(changed), *dirty]))
        for start in range(0, len(names), AGENTS_PER_TRANSACTION):
            words = self._pending_updates(names[start : start + AGENTS_PER_TRANSACTION], changed)
            try:
                found = await self._store.write(partial(store_presence, words))
            except Exception:
                self._mark_unstored(names[start:], changed)
                raise
            self._apply_result(words, found)

    def _judge_all(self, now: float) -> None:
        for name, pulse in self._agents.items():
            silence = round((now - pulse.since) * SECOND)
            found = judge_presence(self._rule, pulse.presence, silence)
            if found is not pulse.presence:
                self._set_presence(name, pulse, found)

    def _pending_updates(
        self, names: list[AgentKey], changed: set[AgentKey]
    ) -> list[PresenceUpdate]:
        at, words = self._world.now(), []
        for name in names:
            if (pulse := self._agents.get(name)) is not None:
                pulse.dirty = False
                checked = self._lease.shared or name in changed
                alert = self._world.new_id() if checked else ""
                words.append(
                    PresenceUpdate(*name, pulse.presence, pulse.heard, pulse.stored, alert, at)
                )
        return words

    def _apply_result(self, words: list[PresenceUpdate], found: PresenceResult) -> None:
        """Take over what the database has, and tell what has changed."""
        for word in words:
            if (pulse := self._agents.get((word.org, word.vault))) is not None:
                pulse.stored = word.heard
        for name, presence, heard in found.heard_elsewhere:
            if (pulse := self._agents.get(name)) is not None and not pulse.dirty:
                self._adopt_stored(pulse, presence, heard)
        for org, vault, presence in found.changed:
            self._bus.publish(Event(Topic.PRESENCE, org, vault, str(presence)))
        self._bus.publish(*(Event(Topic.ALERT, a.org, a.vault, a.id) for a in found.alerts))

    def _mark_unstored(self, names: list[AgentKey], changed: set[AgentKey]) -> None:
        """Nothing was stored of these: they are due again."""
        for name in names:
            if (pulse := self._agents.get(name)) is not None:
                pulse.dirty = True
                if name in changed:
                    self._changed.add(name)

    def _set_presence(self, name: AgentKey, pulse: AgentPresence, presence: Presence) -> None:
        pulse.presence = presence
        pulse.dirty = True
        self._changed.add(name)

    # --- with other processes ---------------------------------------------------------------------

    async def _compare_with_store(self) -> None:
        """Learn what the other processes have heard and judged.

        A last word that is another one than before is a word of now: their clocks need not agree
        with ours, and whatever it took to get here makes nobody offline too early.
        """
        began = self._compared = self._world.monotonic()
        try:
            rows = await self._store.read(agents.list_presence)
        except Exception:
            self._blind = True
            raise
        for org, vault, presence, heard, health in rows:
            pulse = self._agents.get((org, vault))
            if pulse is None:
                self._agents[org, vault] = AgentPresence(presence, heard, began, health)
                continue
            pulse.health = health
            if heard != pulse.stored:
                self._adopt_stored(pulse, presence, heard)
            elif not pulse.dirty:
                pulse.presence = presence
        self._forget_ended(began, {(org, vault) for org, vault, *_ in rows})
        if self._blind:
            self._restart_after_outage()

    def _adopt_stored(self, pulse: AgentPresence, presence: Presence, heard: int) -> None:
        pulse.stored = heard
        pulse.since = self._world.monotonic()
        if not pulse.dirty:
            pulse.presence, pulse.heard, pulse.here = presence, heard, False

    def _forget_ended(self, began: float, active: set[AgentKey]) -> None:
        """Who was ended elsewhere is not watched here; whoever came while we read stays."""
        gone = [n for n, p in self._agents.items() if n not in active and p.since < began]
        for name in gone:
            self.forget(*name)

    def _restart_after_outage(self) -> None:
        """The database was away, so nobody could tell us whom it has heard."""
        self._blind = False
        now = self._world.monotonic()
        for pulse in self._agents.values():
            if not pulse.here:
                pulse.since = now
