"""Topic `agent`: everything about one agent, a row for each section.

While somebody follows it the agent is asked for a glimpse of itself every few seconds.
"""

from collections import Counter
from typing import Any, ClassVar, Final, NamedTuple

from control.ca.ledger import Issued
from control.gateway.audience import Observed
from control.live.fleet import agent_row
from control.live.projection import Around, Columns, Projection, seconds
from control.model.links import Link
from control.model.policies import Standing
from control.model.records import Witnessed
from control.services.events import Event, Topic
from control.services.witness import is_disputed
from control.store import fleet, links, policies, records
from control.store.fleet import Seen
from control.store.ledger import SqlLedgerTx
from control.store.rows import Tx
from protocols.link import messages as m
from protocols.pki.names import AgentName
from protocols.pki.renewing import renew_at

LOOK_EVERY: Final = 5.0
"""Seconds until everything is read anew: certificates and checkpoints come without an event."""
LEASE: Final = 20
"""Seconds for which the agent is asked to say more; asked for anew at every look."""


class Found(NamedTuple):
    """What the store has of the agent."""

    seen: Seen | None
    link: Link | None
    standing: Standing | None
    checkpoint: Witnessed | None
    disputed: bool
    certificate: Issued | None
    state: str


class OneAgent(Projection):
    """See `docs/spec/live.md`, topic `agent`."""

    TOPICS: ClassVar = frozenset(
        {Topic.LIFE, Topic.POLICY, Topic.PRESENCE, Topic.HEALTH, Topic.OUTBOX, Topic.TRAIL}
    )

    def __init__(self, around: Around, org: str, of: str) -> None:
        super().__init__(around, org, of)
        self._stale = True

    async def load(self) -> None:
        """See `Projection`."""
        around, org, vault = self.around, self.org, self.of
        self._stale = False
        now = around.world.now()
        found = await around.store.read(lambda tx: _find(tx, org, vault, now))
        self.collection.replace(self._sections(found) | self._said())
        if (live := around.links.link(org, vault)) is not None:
            live.observe(LEASE)

    async def refresh(self) -> None:
        """See `Projection`."""
        if self._stale:
            await self.load()
            return
        for section, row in self._said().items():
            self.collection.put(section, row)

    def note(self, event: Event) -> bool:
        """See `Projection`."""
        if event.topic not in self.TOPICS or event.vault.partition("/")[0] != self.of:
            return False
        self._stale = True
        return True

    def heard(self, vault: str, message: m.Message) -> bool:
        """See `Projection`."""
        if vault != self.of:
            return False
        if not isinstance(message, m.Glimpse):
            self._stale = True
        return True

    def linked(self, vault: str) -> bool:
        """See `Projection`."""
        self._stale = self._stale or vault == self.of
        return vault == self.of

    @property
    def look_every(self) -> float:
        """See `Projection`."""
        return LOOK_EVERY

    def _sections(self, found: Found) -> dict[str, Columns]:
        around, org, vault = self.around, self.org, self.of
        live = around.links.link(org, vault)
        sections: dict[str, Columns] = {
            "link": {
                "connected": live is not None,
                "since": 0 if live is None else seconds(live.since),
                "health": "" if found.seen is None else found.seen.health,
                "sync": "" if live is None else live.sync,
                **_sent(found.link, live),
                "received": found.link.applied if found.link else 0,
            },
            "policies": _policies(found.standing),
            "certificate": _certificate(found.certificate, found.state),
            "audit": _audit(found.checkpoint, disputed=found.disputed),
        }
        if found.seen is not None:
            sections["agent"] = agent_row(around, org, found.seen) | _facts(found.seen)
        return sections

    def _said(self) -> dict[str, Columns]:
        glimpse = self.around.links.glimpse(self.org, self.of)
        return {"metrics": metrics_row(glimpse), "tree": tree_row(glimpse)}


def _sent(stored: Link | None, live: Observed | None) -> Columns:
    """What is stored of acknowledgements are those that something waited for."""
    if stored is None:
        return {"newest": 0, "acknowledged": 0}
    known = max(stored.acknowledged, live.acknowledged if live else 0)
    return {"newest": stored.newest, "acknowledged": min(known, stored.newest)}


def metrics_row(told: m.Glimpse | None) -> Columns:
    """The newest figures; nulls before there are any."""
    if told is None:
        return {"at": 0, "counters": None, "gauges": None, "histograms": None}
    return {
        "at": told.at // 1000,
        "counters": {str(value.name): value.value for value in told.counters},
        "gauges": {str(value.name): value.value for value in told.gauges},
        "histograms": {
            str(value.name): {"counts": list(value.counts), "sum_us": value.sum_us}
            for value in told.histograms
        },
    }


def tree_row(told: m.Glimpse | None) -> Columns:
    """The actors in the order of a walk, each with a path of its own; null while there is none.

    Several may have one name: `other` is whatever the words of the link do not have.
    """
    if told is None:
        return {"at": 0, "nodes": None}
    path: list[str] = []
    nodes: list[dict[str, Any]] = []
    seen: Counter[str] = Counter()
    for node in told.nodes:
        path[node.level :] = [str(node.name)]
        seen[whole := "/".join(path)] += 1
        if seen[whole] > 1:
            path[-1] += f"-{seen[whole]}"
        nodes.append(
            {
                "path": "/".join(path),
                "state": str(node.state),
                "restarts": node.restarts,
                "handled": node.handled,
                "mean_us": node.mean_us,
                "max_us": node.max_us,
                "depth": node.queued,
                "bound": node.bound,
                "refused": node.refused,
                "dropped": node.dropped,
            }
        )
    return {"at": told.at // 1000, "nodes": nodes}


def _find(tx: Tx, org: str, vault: str, now: int) -> Found:
    seen = fleet.some(tx, org, [vault])
    ledger, name = SqlLedgerTx(tx), AgentName(org, vault)
    held = ledger.certificates(name, now)
    enrolled = ledger.agent(name)
    checkpoint = records.checkpoint(tx, org, vault)
    return Found(
        seen[0] if seen else None,
        links.link(tx, org, vault),
        policies.standing(tx, org, vault),
        checkpoint,
        is_disputed(tx, checkpoint),
        held[-1] if held else None,
        str(enrolled.state) if enrolled else "",
    )


def _facts(seen: Seen) -> Columns:
    facts = seen.facts
    return {
        "platform": facts.get("platform", ""),
        "backend": facts.get("backend", ""),
        "key_holder": facts.get("key_holder", ""),
        "started": int(facts.get("started_at", 0)) // 1000,
        "created": seconds(seen.created_at),
    }


def _policies(row: Standing | None) -> Columns:
    return {
        "policy": str(row.outcome) if row else "",
        "why": row.reason if row else "",
        "wanted": row.version if row else 0,
        "applied": row.applied if row else 0,
        "changed": seconds(row.changed_at) if row else 0,
        "contents": row.contents if row else {},
    }


def _certificate(held: Issued | None, state: str) -> Columns:
    """`renew_at`: the earliest moment at which the agent renews by itself."""
    return {
        "generation": held.generation if held else 0,
        "serial": held.serial if held else "",
        "not_before": seconds(held.not_before) if held else 0,
        "not_after": seconds(held.not_after) if held else 0,
        "renew_at": seconds(renew_at(held.not_before, held.not_after, 0.0)) if held else 0,
        "revoked": bool(held and held.revoked_at),
        "standing": state,
    }


def _audit(seen: Witnessed | None, *, disputed: bool) -> Columns:
    return {
        "size": seen.size if seen else 0,
        "root": seen.root.hex() if seen else "",
        "at": seconds(seen.at) if seen else 0,
        "fault": seen.fault if seen else "",
        "disputed": disputed,
    }
