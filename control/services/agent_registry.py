"""The agents of each organization and their life cycle."""

from typing import NamedTuple

from msgspec.structs import replace

from actors import World
from control.ca.issuer import deactivate_agent
from control.ca.store import AgentState
from control.errors import ConflictError, NotFoundError
from control.model.agents import (
    LIFECYCLE_TRANSITIONS,
    Agent,
    AgentFilter,
    Life,
    new_agent,
    with_life,
)
from control.model.names import normalize_tags, require_slug
from control.model.records import WitnessedCheckpoint
from control.services.event_bus import Event, EventBus, Topic
from control.services.presence import PresenceTracker
from control.services.witness import Witness, is_disputed
from control.store import agents, alerts, audit_records, people
from control.store.ca_store import SqlCaTransaction
from control.store.rows import Tx
from control.store.store import Store
from protocols.pki.names import AgentName


class CosignedCheckpoint(NamedTuple):
    """An agent's newest checkpoint with our cosignature. `disputed`: see `is_disputed`."""

    seen: WitnessedCheckpoint
    cosignature: str
    disputed: bool


class AgentRegistry:
    """Registers, finds, tags, locks, retires."""

    def __init__(
        self,
        store: Store,
        bus: EventBus,
        presence: PresenceTracker,
        witness: Witness,
        world: World,
    ) -> None:
        self._store = store
        self._bus = bus
        self._presence = presence
        self._witness = witness
        self._world = world

    async def register_agent(self, org: str, vault: str, given: tuple[str, ...]) -> Agent:
        """Register an expected agent: pending until it enrols. Raises `ConflictError`."""
        name = require_slug(vault, "vault")
        made = new_agent(org, name, Life.PENDING, now=self._world.now(), tags=normalize_tags(given))

        def change(tx: Tx) -> None:
            if people.get_organization(tx, org) is None:
                raise NotFoundError("not_found", "there is no such organization")
            agents.add_agent(tx, made)

        await self._store.write(change)
        return made

    async def get_agent(self, org: str, vault: str) -> Agent:
        """The agent, its presence as of this moment. Raises `NotFoundError`."""
        found = await self._store.read(lambda tx: _require_agent(tx, org, vault))
        return self._with_presence(found)

    async def find_agents(self, org: str, wanted: AgentFilter) -> list[Agent]:
        """Agents by name, a page. The filter on presence is as of the last batch, seconds ago."""
        found = await self._store.read(lambda tx: agents.find_agents(tx, org, wanted))
        return [self._with_presence(agent) for agent in found]

    async def count_agents(self, limit: int) -> list[tuple[str, int, int]]:
        """Organization, its agents, and those online as of the last batch; the most first."""
        return await self._store.read(lambda tx: agents.count_agents(tx, limit))

    async def set_tags(self, org: str, vault: str, given: tuple[str, ...]) -> Agent:
        """Replace the tags; policies by tag follow (`Policies.refresh_bundles`)."""
        now, chosen = self._world.now(), normalize_tags(given)

        def change(tx: Tx) -> Agent:
            tagged = replace(_require_agent(tx, org, vault), tags=chosen, changed_at=now)
            agents.put_agent(tx, tagged)
            return tagged

        return await self._store.write(change)

    async def change_life(self, org: str, vault: str, to: Life, reason: str) -> Agent:
        """Lock or retire. Raises `ConflictError` for a transition that does not exist."""
        now = self._world.now()
        word = self._presence.status_of(org, vault)
        heard = word[1] if word is not None else 0

        def change(tx: Tx) -> Agent:
            return change_agent_life(tx, org, vault, to, reason, now=now, heard=heard)

        agent = await self._store.write(change)
        self.publish_life(agent)
        return agent

    async def get_checkpoint(self, org: str, vault: str) -> CosignedCheckpoint:
        """Its newest cosigned checkpoint. Raises `NotFoundError`."""

        def read(tx: Tx) -> tuple[WitnessedCheckpoint | None, bool]:
            _require_agent(tx, org, vault)
            found = audit_records.get_checkpoint(tx, org, vault)
            return found, is_disputed(tx, found)

        seen, disputed = await self._store.read(read)
        if seen is None or not seen.size:
            raise NotFoundError("not_found", "nothing of its audit log is cosigned")
        return CosignedCheckpoint(seen, self._witness.cosignature_line(seen), disputed)

    def publish_life(self, agent: Agent) -> None:
        """Publish a change of an agent's life, once it is stored."""
        if agent.life is not Life.ACTIVE:
            self._presence.forget(agent.org, agent.vault)
        self._bus.publish(Event(Topic.LIFE, agent.org, agent.vault, str(agent.life)))

    def _with_presence(self, agent: Agent) -> Agent:
        return self._presence.with_current_presence(agent)


def change_agent_life(
    tx: Tx, org: str, vault: str, to: Life, reason: str, *, now: int, heard: int = 0
) -> Agent:
    """Make a transition of the life cycle; the agent's certificates are revoked with it.

    `heard`: the time of its last message, where a process knows a newer one than the database.
    """
    agent = _require_agent(tx, org, vault)
    if to not in LIFECYCLE_TRANSITIONS[agent.life]:
        raise ConflictError("life_conflict", f"an agent that is {agent.life} cannot become {to}")
    if to is Life.ACTIVE:
        raise ConflictError("not_enrolled", "an agent becomes active by enrolling")
    changed = with_life(agent, to, reason, now=now)
    changed = replace(changed, last_seen=max(changed.last_seen, heard))
    agents.put_agent(tx, changed)
    alerts.follow_life(tx, org, vault, to, now)
    ledger = SqlCaTransaction(tx)
    enrolled = ledger.agent(AgentName(org, vault))
    if enrolled is not None:
        deactivate_agent(ledger, enrolled, AgentState(to.value), reason, now=now)
    return changed


def _require_agent(tx: Tx, org: str, vault: str) -> Agent:
    agent = agents.get_agent(tx, org, vault)
    if agent is None:
        raise NotFoundError("not_found", "there is no such agent")
    return agent
