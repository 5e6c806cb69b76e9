"""Topic `fleet`: all agents of an organization, one row each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar, Final

from control.live.projection import Columns, Projection, ProjectionContext, to_seconds
from control.model.agents import Health, Life, Presence, State, status_of
from control.model.backups import judge_backups
from control.model.rotations import judge_rotations
from control.services.event_bus import Event, Topic
from control.store import live_queries
from control.store.live_queries import AgentSummary
from protocols.link import messages as m

_BY_TARGET = ("agents.", "link.")
"""Operations in the audit log whose target is an agent: people's, and its own enrolment."""
PAGE: Final = 500
"""Agents that are read in one go, so that a larger fleet holds the loop up no longer."""


@dataclass
class FleetScan:
    """A walk through all agents by name: the next start, the agents met, whether to repeat it."""

    after: str = ""
    seen: set[str] = field(default_factory=set)
    again: bool = False


class FleetProjection(Projection):
    """Presence, links and figures come from memory; everything else is read by name.

    Everything is read again a page at a time, and changes are sent between two pages: ten thousand
    rows at once would block the process. A row is updated by events of the agent (`TOPICS`), its
    registration, its metrics, link changes, and a reload every 30 s. Heartbeats do not update rows.
    """

    TOPICS: ClassVar = frozenset(
        {
            *(Topic.LIFE, Topic.POLICY, Topic.PRESENCE, Topic.HEALTH),
            *(Topic.TRAIL, Topic.BACKUP, Topic.ROTATION),
        }
    )

    def __init__(self, around: ProjectionContext, org: str, of: str) -> None:
        super().__init__(around, org, of)
        self._stale: dict[str, None] = {}  # in the order in which they became so
        self._walk: FleetScan | None = None

    async def load(self) -> None:
        """Begin to read everything; the first time, until all rows are there. See `Projection`."""
        if self._walk is None:
            self._walk = FleetScan()
        else:
            self._walk.again = True
        await self.refresh()
        while not self.collection.ready and self._walk is not None:
            await self._read_page(self._walk)

    async def refresh(self) -> None:
        """Read a page of what is stale, and the next one of a walk. See `Projection`."""
        await self._read_named()
        if self._walk is not None:
            await self._read_page(self._walk)

    @property
    def has_more(self) -> bool:
        """See `Projection`."""
        return bool(self._stale) or self._walk is not None

    async def _read_named(self) -> None:
        vaults = list(islice(self._stale, PAGE))
        if not vaults:
            return
        for vault in vaults:
            del self._stale[vault]
        org = self.org
        try:
            rows = await self.context.store.read(
                lambda tx: live_queries.get_agent_summaries(tx, org, vaults)
            )
        except BaseException:
            self._stale = dict.fromkeys(vaults) | self._stale
            raise
        self._put_rows(rows)

    async def _read_page(self, walk: FleetScan) -> None:
        org, after = self.org, walk.after
        rows = await self.context.store.read(
            lambda tx: live_queries.list_agent_summaries(tx, org, after, PAGE)
        )
        self._put_rows(rows)
        if len(rows) == PAGE:
            walk.after = rows[-1].vault
            return
        self.collection.retain_rows(walk.seen)
        self._walk = FleetScan() if walk.again else None

    def _put_rows(self, rows: Sequence[AgentSummary]) -> None:
        for row in rows:
            self.collection.put_row(row.vault, agent_columns(self.context, self.org, row))
        if self._walk is not None:
            self._walk.seen.update(row.vault for row in rows)

    def on_event(self, event: Event) -> bool:
        """See `Projection`."""
        if event.topic is Topic.TRAIL:
            if not str(event.subject).startswith(_BY_TARGET):
                return False
            return self._mark_stale(event.vault.partition("/")[0])
        if event.topic in (Topic.PRESENCE, Topic.HEALTH):
            return self._set_live(event.vault)
        return event.topic in self.TOPICS and self._mark_stale(event.vault)

    def on_message(self, vault: str, message: m.Message) -> bool:
        """See `Projection`."""
        if isinstance(message, m.Registration | m.Vault):
            return self._mark_stale(vault)
        if not isinstance(message, m.Metrics):
            return False
        return self._set_live(vault)

    def on_link_change(self, vault: str) -> bool:
        """See `Projection`."""
        return self._set_live(vault)

    def _mark_stale(self, vault: str) -> bool:
        if vault:
            self._stale[vault] = None
        return bool(vault)

    def _set_live(self, vault: str) -> bool:
        """Set what is known without a read."""
        row = self.collection.get(vault)
        if row is None:
            return self._mark_stale(vault)
        around = self.context
        self.collection.merge_columns(vault, live_columns(around, self.org, vault, row["life"]))
        return True


def agent_columns(around: ProjectionContext, org: str, seen: AgentSummary) -> Columns:
    """An agent as it is now."""
    backup = judge_backups(seen.backups, around.world.now())
    rotation = judge_rotations(seen.rotations, around.world.now())
    row: dict[str, Any] = {
        "tags": list(seen.tags),
        "version": seen.facts.get("release", ""),
        "vault_id": seen.vault_id,
        "life": seen.life,
        "reason": seen.reason,
        "state": str(status_of(Life(seen.life), Presence(seen.presence), Health(seen.health))),
        "linked": False,
        "heard": to_seconds(seen.last_seen),
        "policy": seen.outcome,
        "why": seen.why,
        "wanted": seen.version,
        "applied": seen.applied,
        "backup": str(backup.state) if backup else "",
        "backup_at": to_seconds(backup.newest) if backup else 0,
        "certified": bool(backup and backup.is_fresh),
        "rotation": str(rotation.state) if rotation else "",
        "rotations_owed": rotation.owed if rotation else 0,
    }
    return row | live_columns(around, org, seen.vault, seen.life)


def live_columns(around: ProjectionContext, org: str, vault: str, life: str) -> Columns:
    """State, link and figures, which are in memory."""
    columns: dict[str, Any] = {"linked": around.live.get_link(org, vault) is not None}
    live = around.presence.status_of(org, vault)
    if live is not None and life == "active":
        columns["state"], columns["heard"] = str(live[0]), to_seconds(live[1])
    figures = around.rates.columns_of(org, vault, around.world.monotonic())
    if live is not None and live[0] is State.OFFLINE:
        figures = dict.fromkeys(figures) | {"secrets": figures["secrets"]}
    return columns | figures
