"""Topic `fleet`: all agents of an organization, one row each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar, Final

from control.live.projection import Around, Columns, Projection, seconds
from control.model.agents import Health, Life, Presence, State, state_of
from control.services.events import Event, Topic
from control.store import fleet
from control.store.fleet import Seen
from protocols.link import messages as m

_BY_TARGET = ("agents.", "link.")
"""Operations on the trail whose target is an agent: people's, and its own enrolment."""
PAGE: Final = 500
"""Agents that are read in one go, so that a larger fleet holds the loop up no longer."""


@dataclass
class Walk:
    """Through all agents by name: after whom it goes on, whom it met, whether another follows."""

    after: str = ""
    met: set[str] = field(default_factory=set)
    again: bool = False


class Fleet(Projection):
    """What changes often comes from memory: presence, links, figures. The rest is read by name.

    Everything is read anew a page at a time, and what happens meanwhile is told between two pages:
    ten thousand rows at once would hold up all that this process does.
    """

    TOPICS: ClassVar = frozenset(
        {Topic.LIFE, Topic.POLICY, Topic.PRESENCE, Topic.HEALTH, Topic.TRAIL}
    )

    def __init__(self, around: Around, org: str, of: str) -> None:
        super().__init__(around, org, of)
        self._stale: dict[str, None] = {}  # in the order in which they became so
        self._walk: Walk | None = None

    async def load(self) -> None:
        """Begin to read everything; the first time, until all is there. See `Projection`."""
        if self._walk is None:
            self._walk = Walk()
        else:
            self._walk.again = True
        await self.refresh()
        while not self.collection.ready and self._walk is not None:
            await self._page(self._walk)

    async def refresh(self) -> None:
        """Read a page of what is stale, and the next one of a walk. See `Projection`."""
        await self._named()
        if self._walk is not None:
            await self._page(self._walk)

    @property
    def more(self) -> bool:
        """See `Projection`."""
        return bool(self._stale) or self._walk is not None

    async def _named(self) -> None:
        vaults = list(islice(self._stale, PAGE))
        if not vaults:
            return
        for vault in vaults:
            del self._stale[vault]
        org = self.org
        try:
            rows = await self.around.store.read(lambda tx: fleet.some(tx, org, vaults))
        except BaseException:
            self._stale = dict.fromkeys(vaults) | self._stale
            raise
        self._lay(rows)

    async def _page(self, walk: Walk) -> None:
        org, after = self.org, walk.after
        rows = await self.around.store.read(lambda tx: fleet.page(tx, org, after, PAGE))
        self._lay(rows)
        if len(rows) == PAGE:
            walk.after = rows[-1].vault
            return
        self.collection.keep(walk.met)
        self._walk = Walk() if walk.again else None

    def _lay(self, rows: Sequence[Seen]) -> None:
        for row in rows:
            self.collection.put(row.vault, agent_row(self.around, self.org, row))
        if self._walk is not None:
            self._walk.met.update(row.vault for row in rows)

    def note(self, event: Event) -> bool:
        """See `Projection`."""
        if event.topic is Topic.TRAIL:
            if not str(event.subject).startswith(_BY_TARGET):
                return False
            return self._due(event.vault.partition("/")[0])
        if event.topic in (Topic.PRESENCE, Topic.HEALTH):
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
            self._stale[vault] = None
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
        "state": str(state_of(Life(seen.life), Presence(seen.presence), Health(seen.health))),
        "linked": False,
        "heard": seconds(seen.last_seen),
        "policy": seen.outcome,
        "why": seen.why,
        "wanted": seen.version,
        "applied": seen.applied,
    }
    return row | live_columns(around, org, seen.vault, seen.life)


def live_columns(around: Around, org: str, vault: str, life: str) -> Columns:
    """What is in memory: state, link and figures."""
    columns: dict[str, Any] = {"linked": around.links.link(org, vault) is not None}
    live = around.watch.state(org, vault)
    if live is not None and life == "active":
        columns["state"], columns["heard"] = str(live[0]), seconds(live[1])
    figures = around.rates.of(org, vault, around.world.monotonic())
    if live is not None and live[0] is State.OFFLINE:
        figures = dict.fromkeys(figures) | {"secrets": figures["secrets"]}
    return columns | figures
