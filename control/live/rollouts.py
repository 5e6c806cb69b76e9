"""Topic `rollouts`: those that are open, and the newest others."""

from typing import ClassVar, Final

from control.live.projection import LOOK_EVERY, Columns, Projection, seconds
from control.model.policies import Rollout, RolloutState
from control.services.events import Event, Topic
from control.services.rollout import Progress, steps
from control.services.rollouts import OPEN, progress
from control.store import fleet
from control.store.rows import Tx

OTHERS: Final = 20
COUNTS: Final = ("total", "reached", "wanted", "away", "applied", "failed", "through")
WHILE_RUNNING: Final = 1.0
"""Seconds between looks while one runs: how often it is itself moved on, which no event tells."""


class Rollouts(Projection):
    """People's steps come over the trail, agents' answers as events of their policies."""

    TOPICS: ClassVar = frozenset({Topic.POLICY})

    async def load(self) -> None:
        """See `Projection`."""
        org = self.org
        rows = await self.around.store.read(lambda tx: _read(tx, org))
        self.collection.replace({row.id: rollout_row(row, fares) for row, fares in rows})

    def note(self, event: Event) -> bool:
        """See `Projection`."""
        if event.topic is Topic.TRAIL:
            return str(event.subject).startswith(("rollouts.", "policies."))
        return super().note(event)

    @property
    def look_every(self) -> float:
        """See `Projection`."""
        states = [(self.collection.get(key) or {}).get("state") for key in self.collection.keys()]  # noqa: SIM118
        return WHILE_RUNNING if str(RolloutState.RUNNING) in states else LOOK_EVERY


def rollout_row(rollout: Rollout, fares: Progress | None) -> Columns:
    """A roll-out; how it fares is not counted any more once it is over."""
    counts: Columns = dict.fromkeys(COUNTS)
    if fares is not None:
        counts = {
            "total": fares.total,
            "reached": fares.wanted + fares.applied + fares.failed,
            "wanted": fares.wanted,
            "away": fares.away,
            "applied": fares.applied,
            "failed": fares.failed,
            "through": fares.is_through,
        }
    return {
        "policy": rollout.policy,
        "version": rollout.version,
        "previous": rollout.previous,
        "step": rollout.step,
        "steps": steps(rollout.plan),
        "automatic": rollout.plan.automatic,
        "state": str(rollout.state),
        "reason": rollout.reason,
        "created_by": rollout.created_by,
        "created": seconds(rollout.created_at),
        "changed": seconds(rollout.changed_at),
        **counts,
    }


def _read(tx: Tx, org: str) -> list[tuple[Rollout, Progress | None]]:
    return [
        (row, progress(tx, row) if row.state in OPEN else None)
        for row in fleet.newest_rollouts(tx, org, OTHERS)
    ]
