"""Presence and health of agents: the rule, its clock, and the alerts that follow.

Live state is a few numbers in memory for each agent. Silence is measured on the monotonic clock: a
change of the wall clock makes nobody offline, and keeps nobody online. The database gets the times
of last messages in batches, and every change of presence with its alert.

Where several processes share the work, each stores the messages that it has received, all compare
their state with the database, and only the leader judges silence. An agent that reports itself as
sealed, refusing or faulty has an alert for as long as it does, whether that began while it was
linked or before.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from actors import World
from control.model.agents import SERVING, Agent, Health, Life, Presence, State, status_of
from control.model.conditions import OFFLINE, REFUSING, REPORTED, SEALED, alert_message
from control.model.history import Aspect, StateChange, presence_value
from control.model.records import Alert, Severity
from control.model.vaults import VaultNode, join_names
from control.services.alerts import alert_event
from control.services.event_bus import Event, EventBus, Topic
from control.services.organization_batches import run_by_organization
from control.store import agents, alerts, history
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
    """An agent's health: `alerts` begin to fire, firing alerts of the codes in `over` end."""

    name: AgentName
    health: Health
    sync: str
    alerts: tuple[Alert, ...]
    over: frozenset[str]
    now: int


def health_report(
    name: AgentName, health: str, sync: str, codes: frozenset[str] | None, world: World
) -> HealthReport:
    """What follows from a heartbeat and from the `Conditions` before it, if there are any.

    A sealed agent cannot check its audit log or its keys: its former conditions stand.
    """
    reported = Health(health)
    if reported is Health.SERVING and codes:
        reported = Health.DEGRADED
    fires = (codes or frozenset()) & REPORTED - _BY_HEALTH
    fires |= {str(reported)} & _BY_HEALTH
    judged = _BY_HEALTH if codes is None or reported is Health.SEALED else REPORTED | _BY_HEALTH
    now = world.now()
    made = tuple(_alert(name, code, world.new_id(), now) for code in sorted(fires))
    return HealthReport(name, reported, sync, made, frozenset(judged - fires), now)


def record_health(tx: Tx, said: Sequence[HealthReport]) -> list[Sequence[Event]]:
    """Store changes of health; the events to publish for each report."""

    def note(tx: Tx, org: str, places: Sequence[int]) -> list[Sequence[Event]]:
        return _record_organization(tx, org, [said[place] for place in places])

    return run_by_organization(tx, [each.name for each in said], note)


def _record_organization(tx: Tx, org: str, said: Sequence[HealthReport]) -> list[Sequence[Event]]:
    now = said[0].now
    vaults = [each.name.vault for each in said]
    rows = [row for row in agents.get_agents(tx, org, vaults) if row.life is Life.ACTIVE]
    before = {row.vault: row.health for row in rows}
    agents.record_facts(tx, org, {each.name.vault: {"sync": each.sync} for each in said}, now=now)
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
    """The presence of an agent after so many nanoseconds of silence.

    Only a message makes an agent online again: after a restart of ours all silences begin at 0, and
    an agent that was offline stays so.
    """
    if before is Presence.UNKNOWN or silence < rule.late:
        return before
    if silence >= rule.offline or before is Presence.OFFLINE:
        return Presence.OFFLINE
    return Presence.LATE


class AgentPresence:
    """The state of one agent."""

    __slots__ = (
        "dirty",
        "health",
        "last_seen",
        "presence",
        "seen_locally",
        "silent_since",
        "stored_last_seen",
    )

    def __init__(
        self,
        presence: Presence,
        last_seen: int,
        silent_since: float,
        health: Health = Health.UNSAID,
    ) -> None:
        self.presence = presence
        self.health = health  # as reported last, and as stored
        self.last_seen = last_seen  # Unix ns of the last message, 0 for none
        self.silent_since = silent_since  # start of its silence, on the monotonic clock
        self.stored_last_seen = last_seen  # `last_seen` in the database
        self.seen_locally = False  # whether this process received its last message
        self.dirty = False

    @property
    def status(self) -> State:
        """The state of an active agent: others are not watched."""
        return status_of(Life.ACTIVE, self.presence, self.health)


# Stores last messages and changes of presence, judged against the rows as they are by then.
#
# Several processes hear agents, and one of them judges silence. Each update is compared with the
# row in its transaction, so that each change is made once, with its alert, and no agent becomes
# offline that another process has heard meanwhile.


SILENT_STATES: Final = frozenset({Presence.LATE, Presence.OFFLINE})

AgentKey = tuple[str, str]


class PresenceUpdate(NamedTuple):
    """An update of one agent.

    `base_last_seen`: the last message that the judgement is based on. `alert_id`: of an alert that
    may follow; empty where only the last message has moved.
    """

    org: str
    vault: str
    presence: Presence
    last_seen: int
    base_last_seen: int
    alert_id: str
    at: int


class PresenceResult(NamedTuple):
    """The outcome of the updates."""

    changed: list[tuple[str, str, Presence]]
    alerts: list[Alert]
    heard_elsewhere: list[tuple[AgentKey, Presence, int]]
    """Agents that are not silent after all: presence and last message as stored."""


def store_presence(updates: Sequence[PresenceUpdate], tx: Tx) -> PresenceResult:
    """Store the updates."""
    rows = _rows(tx, [update for update in updates if update.alert_id])
    result = PresenceResult([], [], [])
    written: list[tuple[str, str, Presence, int]] = []
    changes: list[StateChange] = []
    offline: list[Alert] = []
    returned: dict[str, list[PresenceUpdate]] = {}
    for update in updates:
        if not update.alert_id:
            written.append((update.org, update.vault, update.presence, update.last_seen))
        elif (row := rows.get((update.org, update.vault))) is not None:
            before, last_seen = row
            if update.presence in SILENT_STATES and last_seen != update.base_last_seen:
                result.heard_elsewhere.append(((update.org, update.vault), before, last_seen))
                continue
            written.append((update.org, update.vault, update.presence, update.last_seen))
            if before is not update.presence:
                result.changed.append((update.org, update.vault, update.presence))
                if update.presence is Presence.OFFLINE:
                    offline.append(_offline_alert(update))
                elif update.presence is Presence.ONLINE:
                    returned.setdefault(update.org, []).append(update)
                changes.append(_state_change(update))
    agents.put_presence(tx, written)
    history.record_changes(tx, changes)
    result.alerts.extend(alerts.fire_alerts(tx, *_name_other_nodes(tx, offline)))
    for org, group in returned.items():
        vaults = [update.vault for update in group]
        result.alerts.extend(alerts.resolve_alerts(tx, org, [OFFLINE], vaults, now=group[0].at))
    return result


def _rows(tx: Tx, updates: Sequence[PresenceUpdate]) -> dict[AgentKey, tuple[Presence, int]]:
    rows = {}
    for org, some in groupby(sorted(updates), key=lambda update: update.org):
        vaults = [update.vault for update in some]
        for vault, presence, last_seen in agents.get_presence(tx, org, vaults):
            rows[org, vault] = (presence, last_seen)
    return rows


def _state_change(update: PresenceUpdate) -> StateChange:
    """The change, dated to the last message: the state was known until then."""
    silent = update.presence is Presence.OFFLINE
    at = update.last_seen if silent and update.last_seen else update.at
    value = presence_value(update.presence)
    return StateChange(
        org=update.org, aspect=Aspect.PRESENCE, subject=update.vault, at=at, value=value
    )


def _offline_alert(update: PresenceUpdate) -> Alert:
    """The alert; an agent that is only late has none."""
    return Alert(
        id=update.alert_id,
        org=update.org,
        vault=update.vault,
        code=OFFLINE,
        severity=Severity.CRITICAL,
        message=f"agent {update.vault} has not been heard any more",
        at=update.at,
        acknowledged_by="",
        acknowledged_at=0,
        last_at=update.at,
    )


def _name_other_nodes(tx: Tx, offline: Sequence[Alert]) -> list[Alert]:
    """The alerts, with the nodes that still serve each agent's vault.

    The severity stays: which vault an agent serves is only what it says, and whether its clients
    can reach another node is not known here.
    """
    found = []
    for org, some in groupby(sorted(offline, key=lambda alert: alert.org), lambda a: a.org):
        fired = list(some)
        vault_ids = {
            agent.vault: agent.vault_id
            for agent in agents.get_agents(tx, org, [alert.vault for alert in fired])
            if agent.vault_id
        }
        nodes: dict[str, list[VaultNode]] = {}
        if vault_ids:
            for node in agents.list_nodes(tx, org, sorted(set(vault_ids.values()))):
                nodes.setdefault(node.vault_id, []).append(node)
        for alert in fired:
            of_vault = nodes.get(vault_ids.get(alert.vault, ""), ())
            others = [node for node in of_vault if node.name != alert.vault]
            found.append(replace(alert, message=alert.message + _other_nodes(others)))
    return found


def _other_nodes(others: Sequence[VaultNode]) -> str:
    serving = [node.name for node in others if node.state in SERVING]
    if serving:
        return f"; its vault is served by {join_names(serving)}"
    return "; no other node of its vault serves" if others else ""


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
        """Read the stored state. Silence counts from now: nothing was heard before."""
        now = self._world.monotonic()
        for org, vault, presence, last_seen, health in await self._store.read(agents.list_presence):
            self._agents[org, vault] = AgentPresence(presence, last_seen, now, health)
        self._flushed = self._compared = now

    def record_message(self, org: str, vault: str) -> None:
        """The agent was heard; costs no I/O."""
        now = self._world.monotonic()
        entry = self._agents.get((org, vault))
        if entry is None:
            entry = self._agents[org, vault] = AgentPresence(Presence.UNKNOWN, 0, now)
        entry.last_seen, entry.silent_since = self._world.now(), now
        entry.dirty = entry.seen_locally = True
        if entry.presence is not Presence.ONLINE:
            self._set_presence((org, vault), entry, Presence.ONLINE)

    def record_known_message(self, org: str, vault: str) -> None:
        """The same for a watched agent only: late messages of an ended one do not count."""
        if (org, vault) in self._agents:
            self.record_message(org, vault)

    def set_health(self, org: str, vault: str, health: Health) -> None:
        """Set the agent's health, once it is stored."""
        if (entry := self._agents.get((org, vault))) is not None:
            entry.health = health

    def forget(self, org: str, vault: str) -> None:
        """Stop watching an agent that was locked or retired."""
        self._agents.pop((org, vault), None)
        self._changed.discard((org, vault))

    def status_of(self, org: str, vault: str) -> tuple[State, int] | None:
        """State as of this moment and time of the last message; None for an unwatched agent."""
        entry = self._agents.get((org, vault))
        return None if entry is None else (entry.status, entry.last_seen)

    def with_current_presence(self, agent: Agent) -> Agent:
        """The agent with its presence as of this moment, unless the stored one is newer."""
        entry = self._agents.get((agent.org, agent.vault))
        if entry is None or (self._lease.shared and entry.last_seen <= agent.last_seen):
            return agent
        return replace(
            agent, presence=entry.presence, last_seen=entry.last_seen, health=entry.health
        )

    def with_current_state(self, org: str, node: VaultNode) -> VaultNode:
        """The node with its state as of this moment, unless the stored one is newer."""
        entry = self._agents.get((org, node.name))
        if entry is None or (self._lease.shared and entry.last_seen <= node.last_seen):
            return node
        return node._replace(
            presence=entry.presence, last_seen=entry.last_seen, health=entry.health
        )

    def list_statuses(self) -> Iterator[tuple[str, State]]:
        """Organization and state of every watched agent."""
        return ((name[0], entry.status) for name, entry in self._agents.items())

    def count_by_status(self) -> dict[State, int]:
        """How many active agents are in each state."""
        counts = dict.fromkeys(_COUNTED, 0)
        for entry in self._agents.values():
            counts[entry.status] += 1
        return counts

    def restart_silence(self) -> None:
        """Begin all silences anew: a process that died may have heard agents without storing it."""
        now, untold = self._world.monotonic(), (self._flush_every + self._compare_every) / SECOND
        for entry in self._agents.values():
            if not entry.seen_locally:
                entry.silent_since = min(now, entry.silent_since + untold)

    async def update(self) -> None:
        """Apply the rule; store changes with their alerts, and last messages when it is time."""
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
        dirty = [name for name, entry in self._agents.items() if entry.dirty]
        names = list(dict.fromkeys([*sorted(changed), *dirty]))
        for start in range(0, len(names), AGENTS_PER_TRANSACTION):
            updates = self._pending_updates(names[start : start + AGENTS_PER_TRANSACTION], changed)
            try:
                found = await self._store.write(partial(store_presence, updates))
            except Exception:
                self._mark_unstored(names[start:], changed)
                raise
            self._apply_result(updates, found)

    def _judge_all(self, now: float) -> None:
        for name, entry in self._agents.items():
            silence = round((now - entry.silent_since) * SECOND)
            found = judge_presence(self._rule, entry.presence, silence)
            if found is not entry.presence:
                self._set_presence(name, entry, found)

    def _pending_updates(
        self, names: list[AgentKey], changed: set[AgentKey]
    ) -> list[PresenceUpdate]:
        at, updates = self._world.now(), []
        for name in names:
            if (entry := self._agents.get(name)) is not None:
                entry.dirty = False
                checked = self._lease.shared or name in changed
                alert = self._world.new_id() if checked else ""
                updates.append(
                    PresenceUpdate(
                        *name, entry.presence, entry.last_seen, entry.stored_last_seen, alert, at
                    )
                )
        return updates

    def _apply_result(self, updates: list[PresenceUpdate], found: PresenceResult) -> None:
        """Take over the stored state, and publish what has changed."""
        for update in updates:
            if (entry := self._agents.get((update.org, update.vault))) is not None:
                entry.stored_last_seen = update.last_seen
        for name, presence, last_seen in found.heard_elsewhere:
            if (entry := self._agents.get(name)) is not None and not entry.dirty:
                self._adopt_stored(entry, presence, last_seen)
        for org, vault, presence in found.changed:
            self._bus.publish(Event(Topic.PRESENCE, org, vault, str(presence)))
        self._bus.publish(*(Event(Topic.ALERT, a.org, a.vault, a.id) for a in found.alerts))

    def _mark_unstored(self, names: list[AgentKey], changed: set[AgentKey]) -> None:
        """Mark updates that were not stored: they are due again."""
        for name in names:
            if (entry := self._agents.get(name)) is not None:
                entry.dirty = True
                if name in changed:
                    self._changed.add(name)

    def _set_presence(self, name: AgentKey, entry: AgentPresence, presence: Presence) -> None:
        entry.presence = presence
        entry.dirty = True
        self._changed.add(name)

    # --- with other processes ---------------------------------------------------------------------

    async def _compare_with_store(self) -> None:
        """Read what the other processes have heard and judged.

        A stored last message that has changed counts as heard now: the clocks of the processes may
        differ, and a delay makes nobody offline too early.
        """
        began = self._compared = self._world.monotonic()
        try:
            rows = await self._store.read(agents.list_presence)
        except Exception:
            self._blind = True
            raise
        for org, vault, presence, last_seen, health in rows:
            entry = self._agents.get((org, vault))
            if entry is None:
                self._agents[org, vault] = AgentPresence(presence, last_seen, began, health)
                continue
            entry.health = health
            if last_seen != entry.stored_last_seen:
                self._adopt_stored(entry, presence, last_seen)
            elif not entry.dirty:
                entry.presence = presence
        self._forget_ended(began, {(org, vault) for org, vault, *_ in rows})
        if self._blind:
            self._restart_after_outage()

    def _adopt_stored(self, entry: AgentPresence, presence: Presence, last_seen: int) -> None:
        entry.stored_last_seen = last_seen
        entry.silent_since = self._world.monotonic()
        if not entry.dirty:
            entry.presence, entry.last_seen, entry.seen_locally = presence, last_seen, False

    def _forget_ended(self, began: float, active: set[AgentKey]) -> None:
        """Forget agents that another process has ended, but not those that came meanwhile."""
        gone = [n for n, p in self._agents.items() if n not in active and p.silent_since < began]
        for name in gone:
            self.forget(*name)

    def _restart_after_outage(self) -> None:
        """Begin all silences anew: other processes could not store what they heard."""
        self._blind = False
        now = self._world.monotonic()
        for entry in self._agents.values():
            if not entry.seen_locally:
                entry.silent_since = now
