"""Topic `rollouts`: those that are open, and the newest others."""

from typing import ClassVar, Final

from control.live.projection import RELOAD_INTERVAL, Columns, Projection, to_seconds
from control.model.policies import Rollout, RolloutState
from control.services.event_bus import Event, Topic
from control.services.rollout_steps import Progress, step_count
from control.services.rollouts import OPEN_STATES, rollout_progress
from control.store import live_queries
from control.store.rows import Tx

MAX_FINISHED: Final = 20
PROGRESS_COLUMNS: Final = ("total", "reached", "wanted", "away", "applied", "failed", "through")
RUNNING_RELOAD_INTERVAL: Final = 1.0
"""Seconds between looks while one runs: how often it is itself moved on, which no event tells."""


class RolloutsProjection(Projection):
    """People's steps come over the trail, agents' answers as events of their policies."""

    TOPICS: ClassVar = frozenset({Topic.POLICY})

    async def load(self) -> None:
        """See `Projection`."""
        org = self.org
        rows = await self.context.store.read(lambda tx: _read(tx, org))
        self.collection.replace_rows({row.id: rollout_columns(row, fares) for row, fares in rows})

    def on_event(self, event: Event) -> bool:
        """See `Projection`."""
        if event.topic is Topic.TRAIL:
            return str(event.subject).startswith(("rollouts.", "policies."))
        return super().on_event(event)

    @property
    def reload_interval(self) -> float:
        """See `Projection`."""
        states = [(self.collection.get(key) or {}).get("state") for key in self.collection.keys()]  # noqa: SIM118
        return RUNNING_RELOAD_INTERVAL if str(RolloutState.RUNNING) in states else RELOAD_INTERVAL


def rollout_columns(rollout: Rollout, fares: Progress | None) -> Columns:
    """A roll-out; how it fares is not counted any more once it is over."""
    counts: Columns = dict.fromkeys(PROGRESS_COLUMNS)
    if fares is not None:
        counts = {
            "total": fares.total,
            "reached": fares.wanted + fares.applied + fares.failed,
            "wanted": fares.wanted,
            "away": fares.away,
            "applied": fares.applied,
            "failed": fares.failed,
            "through": fares.is_complete,
        }
    return {
        "policy": rollout.policy,
        "version": rollout.version,
        "previous": rollout.previous,
        "step": rollout.step,
        "steps": step_count(rollout.plan),
        "automatic": rollout.plan.automatic,
        "state": str(rollout.state),
        "reason": rollout.reason,
        "created_by": rollout.created_by,
        "created": to_seconds(rollout.created_at),
        "changed": to_seconds(rollout.changed_at),
        **counts,
    }


def _read(tx: Tx, org: str) -> list[tuple[Rollout, Progress | None]]:
    return [
        (row, rollout_progress(tx, row) if row.state in OPEN_STATES else None)
        for row in live_queries.newest_rollouts(tx, org, MAX_FINISHED)
    ]
