"""Topic `fleet`: all agents of an organization, one row each."""

from typing import Any, ClassVar

from control.live.projection import Around, Columns, Projection, seconds
from control.model.agents import Presence
from control.services.events import Event, Topic
from control.store import fleet
from control.store.fleet import Seen
from protocols.link import messages as m

_BY_TARGET = ("agents.", "link.")
"""Operations on the trail whose target is an agent: people's, and its own enrolment."""
MANY = 2_000
"""Stale rows from which on reading everything costs less than reading them by name."""


class Fleet(Projection):
    """What changes often comes from memory: presence, links, figures. The rest is read by name."""

    TOPICS: ClassVar = frozenset({Topic.LIFE, Topic.POLICY, Topic.PRESENCE, Topic.TRAIL})

    def __init__(self, around: Around, org: str, of: str) -> None:
        super().__init__(around, org, of)
        self._stale: set[str] = set()

    async def load(self) -> None:
        """See `Projection`."""
        self._stale.clear()
        org = self.org
        rows = await self.around.store.read(lambda tx: fleet.whole(tx, org))
        self.collection.replace({row.vault: agent_row(self.around, org, row) for row in rows})

    async def refresh(self) -> None:
        """See `Projection`."""
        if len(self._stale) > MANY:
            await self.load()
            return
        vaults, self._stale = sorted(self._stale), set()
        if not vaults:
            return
        org = self.org
        try:
            rows = await self.around.store.read(lambda tx: fleet.some(tx, org, vaults))
        except BaseException:
            self._stale.update(vaults)
            raise
        for row in rows:
            self.collection.put(row.vault, agent_row(self.around, org, row))

    def note(self, event: Event) -> bool:
        """See `Projection`."""
        if event.topic is Topic.TRAIL:
            if not str(event.subject).startswith(_BY_TARGET):
                return False
            return self._due(event.vault.partition("/")[0])
        if event.topic is Topic.PRESENCE:
            return self._live(event.vault)
        return event.topic in self.TOPICS and self._due(event.vault)

    def heard(self, vault: str, message: m.Message) -> bool:
        """See `Projection`."""
        if isinstance(message, m.Registration):
            return self._due(vault)
        if not isinstance(message, m.Metrics):
            return False
        return self._live(vault)

    def linked(self, vault: str) -> bool:
        """See `Projection`."""
        return self._live(vault)

    def _due(self, vault: str) -> bool:
        if vault:
            self._stale.add(vault)
        return bool(vault)

    def _live(self, vault: str) -> bool:
        """Set what is known without asking the store."""
        row = self.collection.get(vault)
        if row is None:
            return self._due(vault)
        around = self.around
        self.collection.merge(vault, live_columns(around, self.org, vault, row["life"]))
        return True


def agent_row(around: Around, org: str, seen: Seen) -> Columns:
    """An agent as it is now."""
    row: dict[str, Any] = {
        "tags": list(seen.tags),
        "version": seen.facts.get("release", ""),
        "life": seen.life,
        "reason": seen.reason,
        "state": seen.presence,
        "linked": False,
        "heard": seconds(seen.last_seen),
        "policy": seen.outcome,
        "why": seen.why,
        "wanted": seen.version,
        "applied": seen.applied,
    }
    return row | live_columns(around, org, seen.vault, seen.life)


def live_columns(around: Around, org: str, vault: str, life: str) -> Columns:
    """What is in memory: presence, link and figures."""
    columns: dict[str, Any] = {"linked": around.links.link(org, vault) is not None}
    live = around.watch.presence(org, vault)
    if live is not None and life == "active":
        columns["state"], columns["heard"] = str(live[0]), seconds(live[1])
    figures = around.rates.of(org, vault, around.world.monotonic())
    if live is not None and live[0] is Presence.OFFLINE:
        figures = dict.fromkeys(figures) | {"secrets": figures["secrets"]}
    return columns | figures
