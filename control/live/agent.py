"""Topic `agent`: everything about one agent, a row for each section.

While a browser subscribes, the agent is asked for a glimpse of itself every few seconds.
"""

from collections import Counter
from typing import Any, ClassVar, Final, NamedTuple

from control.ca.store import IssuedCertificate
from control.gateway.link_observer import ObservedLink
from control.live.fleet import agent_columns
from control.live.projection import Columns, Projection, ProjectionContext, to_seconds
from control.model.backups import VaultBackup, judge_backups
from control.model.links import AgentLink
from control.model.policies import AssignmentState
from control.model.records import WitnessedCheckpoint
from control.model.rotations import VaultRotations, judge_rotations
from control.services.event_bus import Event, Topic
from control.services.witness import is_disputed
from control.store import audit_records, links, live_queries, policies
from control.store.ca_store import SqlCaTransaction
from control.store.live_queries import AgentSummary
from control.store.rows import Tx
from protocols.link import messages as m
from protocols.pki.names import AgentName
from protocols.pki.profile import renewal_time

RELOAD_INTERVAL: Final = 5.0
"""Seconds until everything is read anew: certificates and checkpoints come without an event."""
OBSERVE_SECONDS: Final = 20
"""Seconds for which the agent is asked to say more; asked for anew at every look."""


class StoredAgent(NamedTuple):
    """What the store has of the agent."""

    seen: AgentSummary | None
    link: AgentLink | None
    standing: AssignmentState | None
    checkpoint: WitnessedCheckpoint | None
    disputed: bool
    certificate: IssuedCertificate | None
    state: str


class AgentProjection(Projection):
    """See `docs/spec/live.md`, topic `agent`."""

    TOPICS: ClassVar = frozenset(
        {
            *(Topic.LIFE, Topic.POLICY, Topic.PRESENCE, Topic.HEALTH),
            *(Topic.OUTBOX, Topic.TRAIL, Topic.BACKUP, Topic.ROTATION),
        }
    )

    def __init__(self, around: ProjectionContext, org: str, of: str) -> None:
        super().__init__(around, org, of)
        self._stale = True

    async def load(self) -> None:
        """See `Projection`."""
        around, org, vault = self.context, self.org, self.of
        self._stale = False
        now = around.world.now()
        found = await around.store.read(lambda tx: _read_agent(tx, org, vault, now))
        self.collection.replace_rows(self._sections(found) | self._reported_sections())
        if (live := around.live.get_link(org, vault)) is not None:
            live.observe(OBSERVE_SECONDS)

    async def refresh(self) -> None:
        """See `Projection`."""
        if self._stale:
            await self.load()
            return
        for section, row in self._reported_sections().items():
            self.collection.put_row(section, row)

    def on_event(self, event: Event) -> bool:
        """See `Projection`."""
        if event.topic not in self.TOPICS or event.vault.partition("/")[0] != self.of:
            return False
        self._stale = True
        return True

    def on_message(self, vault: str, message: m.Message) -> bool:
        """See `Projection`."""
        if vault != self.of:
            return False
        if not isinstance(message, m.Glimpse):
            self._stale = True
        return True

    def on_link_change(self, vault: str) -> bool:
        """See `Projection`."""
        self._stale = self._stale or vault == self.of
        return vault == self.of

    @property
    def reload_interval(self) -> float:
        """See `Projection`."""
        return RELOAD_INTERVAL

    def _sections(self, found: StoredAgent) -> dict[str, Columns]:
        around, org, vault = self.context, self.org, self.of
        live = around.live.get_link(org, vault)
        sections: dict[str, Columns] = {
            "link": {
                "connected": live is not None,
                "since": 0 if live is None else to_seconds(live.since),
                "health": "" if found.seen is None else found.seen.health,
                "sync": "" if live is None else live.sync,
                **_acknowledged_id(found.link, live),
                "received": found.link.applied if found.link else 0,
            },
            "policies": _policies(found.standing),
            "certificate": _certificate(found.certificate, found.state),
            "audit": _audit(found.checkpoint, disputed=found.disputed),
        }
        if found.seen is not None:
            sections["agent"] = agent_columns(around, org, found.seen) | _facts(found.seen)
            now = around.world.now()
            sections["rotation"] = _rotation(judge_rotations(found.seen.rotations, now))
            sections["backup"] = _backup(judge_backups(found.seen.backups, now))
        return sections

    def _reported_sections(self) -> dict[str, Columns]:
        glimpse = self.context.live.get_glimpse(self.org, self.of)
        return {"metrics": metrics_columns(glimpse), "tree": tree_columns(glimpse)}


def _acknowledged_id(stored: AgentLink | None, live: ObservedLink | None) -> Columns:
    """The newest acknowledged id. Only ids that something waited for are stored."""
    if stored is None:
        return {"newest": 0, "acknowledged": 0}
    known = max(stored.acknowledged, live.acknowledged if live else 0)
    return {"newest": stored.newest, "acknowledged": min(known, stored.newest)}


def metrics_columns(told: m.Glimpse | None) -> Columns:
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


def tree_columns(told: m.Glimpse | None) -> Columns:
    """The agent's actors in walking order, each with its path; null while there are none.

    Several actors may have one name: `other` is a name outside the link's vocabulary.
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


def _read_agent(tx: Tx, org: str, vault: str, now: int) -> StoredAgent:
    seen = live_queries.get_agent_summaries(tx, org, [vault])
    ledger, name = SqlCaTransaction(tx), AgentName(org, vault)
    held = ledger.certificates(name, now)
    enrolled = ledger.agent(name)
    checkpoint = audit_records.get_checkpoint(tx, org, vault)
    return StoredAgent(
        seen[0] if seen else None,
        links.get_link(tx, org, vault),
        policies.get_assignment_state(tx, org, vault),
        checkpoint,
        is_disputed(tx, checkpoint),
        held[-1] if held else None,
        str(enrolled.state) if enrolled else "",
    )


def _facts(seen: AgentSummary) -> Columns:
    facts = seen.facts
    return {
        "platform": facts.get("platform", ""),
        "backend": facts.get("backend", ""),
        "key_holder": facts.get("key_holder", ""),
        "started": int(facts.get("started_at", 0)) // 1000,
        "created": to_seconds(seen.created_at),
    }


def _policies(row: AssignmentState | None) -> Columns:
    return {
        "policy": str(row.outcome) if row else "",
        "why": row.reason if row else "",
        "wanted": row.version if row else 0,
        "applied": row.applied if row else 0,
        "changed": to_seconds(row.changed_at) if row else 0,
        "contents": row.contents if row else {},
    }


def _certificate(held: IssuedCertificate | None, state: str) -> Columns:
    """`renew_at`: the earliest moment at which the agent renews by itself."""
    return {
        "generation": held.generation if held else 0,
        "serial": held.serial if held else "",
        "not_before": to_seconds(held.not_before) if held else 0,
        "not_after": to_seconds(held.not_after) if held else 0,
        "renew_at": to_seconds(renewal_time(held.not_before, held.not_after, 0.0)) if held else 0,
        "revoked": bool(held and held.revoked_at),
        "standing": state,
    }


def _backup(seen: VaultBackup | None) -> Columns:
    """Of the agent's vault; `state` is empty before any report."""
    return {
        "state": str(seen.state) if seen else "",
        "newest": to_seconds(seen.newest) if seen else 0,
        "proven": to_seconds(seen.proven) if seen else 0,
        "count": seen.count if seen else 0,
        "rto": seen.rto if seen else 0,
        "rpo": seen.rpo if seen else 0,
        "certificate": seen.certificate_hex if seen else "",
        "certified": bool(seen and seen.is_fresh),
    }


def _rotation(seen: VaultRotations | None) -> Columns:
    """Of the agent's vault; `state` is empty before any report."""
    if seen is None:
        return {"state": ""}
    counts = seen.counts
    return {
        "state": str(seen.state),
        "policies": counts.policies,
        "unmanaged": counts.unmanaged,
        "due": counts.due,
        "overdue": seen.overdue,
        "overdue_since": to_seconds(seen.overdue_since),
        "next_due": to_seconds(counts.next_due),
        "running": counts.running,
        "waiting": counts.waiting,
        "failing": counts.failing,
        "stuck": counts.stuck,
        "rotated_day": counts.rotated_day,
        "rotated_month": counts.rotated_month,
        "leases": counts.leases,
        "revoking": counts.revoking,
        "irrevocable": counts.irrevocable,
        "lagging": counts.lagging,
        "unrenewed": counts.unrenewed,
    }


def _audit(seen: WitnessedCheckpoint | None, *, disputed: bool) -> Columns:
    return {
        "size": seen.size if seen else 0,
        "root": seen.root.hex() if seen else "",
        "at": to_seconds(seen.at) if seen else 0,
        "fault": seen.fault if seen else "",
        "disputed": disputed,
    }
