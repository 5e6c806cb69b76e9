"""Metrics of agents: single samples for a while, by the minute longer, by the hour for long.

Each sample is added to its minute and its hour when it arrives, not in a later run: samples that an
agent brings after weeks offline find their place like any other. Samples arrive in the order of
measurement, and one moment in ten seconds is taken at most, so that an agent with invented times
fills no disk.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from msgspec import Struct

from actors import World
from control.errors import NotFoundError, ValidationError
from control.model.records import Sample
from control.model.reported_values import is_plausible
from control.services.key_rotation import MAX_SILENCE
from control.store import agents, samples
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import SECOND

RESOLUTIONS: Final = (0, 60, 3600)  # seconds; 0: every figure by itself
MAX_SERIES: Final = 512  # of one agent; the link's vocabulary has far fewer names
MAX_SAMPLES: Final = 5000  # of one answer
MAX_CLOCK_LEAD: Final = 300  # seconds; the link's own bound on clock skew
SLOT_SECONDS: Final = 10
"""Seconds of which one moment is taken; agents measure once a minute."""


class MetricsRetention(Struct, frozen=True):
    """Seconds for which each resolution is kept."""

    raw: int = 6 * 3600
    minutes: int = 14 * 86_400
    hours: int = 400 * 86_400

    def seconds_of(self, resolution: int) -> int:
        """The retention of this resolution."""
        return {0: self.raw, 60: self.minutes, 3600: self.hours}[resolution]


def accepted_time(at: int, last: int, now: int) -> int | None:
    """The time to store samples under, in Unix seconds; None if they are not taken.

    `last`: of the samples before. A `last` that our own clock has stored while it was ahead is
    ignored.
    """
    at = min(at, now + MAX_CLOCK_LEAD)
    fresh = is_later_slot(at, last) or last > now + MAX_CLOCK_LEAD
    return at if fresh and at >= now - MAX_SILENCE // SECOND else None


def is_later_slot(at: int, last: int) -> bool:
    """Whether a moment is in a later slot than the last one that was taken (Unix seconds)."""
    return at // SLOT_SECONDS > last // SLOT_SECONDS


def ingest_figures(
    tx: Tx, org: str, vault: str, at: int, figures: Mapping[str, float], *, now: int
) -> int:
    """Store the samples of one moment (`at`, `now`: Unix seconds); how many were taken.

    A moment in the future is stored as now. Series beyond the bound, and values that no agent can
    have measured, are dropped.
    """
    at = min(at, now + MAX_CLOCK_LEAD)
    figures = {name: value for name, value in figures.items() if is_plausible(name, value)}
    known = samples.list_series(tx, org, vault)
    new = [name for name in figures if name not in known][: max(MAX_SERIES - len(known), 0)]
    known |= samples.add_series(tx, org, vault, new)
    rows = [
        (known[name], resolution, Sample(_bucket_start(at, resolution), 1, *(float(value),) * 4))
        for name, value in figures.items()
        if name in known
        for resolution in RESOLUTIONS
    ]
    samples.merge_samples(tx, rows)
    return len(rows) // len(RESOLUTIONS)


class AgentMetrics:
    """Queries samples and deletes old ones."""

    def __init__(self, store: Store, retention: MetricsRetention, world: World) -> None:
        self._store = store
        self._retention = retention
        self._world = world

    async def list_series(self, org: str, vault: str) -> list[str]:
        """The series of an agent. Raises `NotFoundError`."""

        def find(tx: Tx) -> list[str]:
            _require_agent(tx, org, vault)
            return sorted(samples.list_series(tx, org, vault))

        return await self._store.read(find)

    async def query_samples(
        self, org: str, vault: str, name: str, *, resolution: int, since: int, until: int
    ) -> list[Sample]:
        """Samples with `since` <= at < `until`, at most `MAX_SAMPLES`; none of an unknown series.

        An agent that was enrolled just now has no series yet, which is no error. Raises
        `NotFoundError` if there is no such agent, `ValidationError` for the resolution.
        """
        if resolution not in RESOLUTIONS:
            raise ValidationError("resolution_invalid", "resolution is 0, 60 or 3600")

        def find(tx: Tx) -> list[Sample]:
            _require_agent(tx, org, vault)
            number = samples.list_series(tx, org, vault).get(name)
            if number is None:
                return []
            return samples.samples_between(
                tx, number, resolution, since=since, until=until, limit=MAX_SAMPLES
            )

        return await self._store.read(find)

    async def delete_older(self) -> None:
        """Remove what is older than its retention."""
        now = self._world.now() // SECOND
        for resolution in RESOLUTIONS:
            before = now - self._retention.seconds_of(resolution)
            await self._store.write(partial(_delete_older, resolution, before))


def _delete_older(resolution: int, before: int, tx: Tx) -> int:
    return samples.delete_older_samples(tx, resolution, before)


def _bucket_start(at: int, resolution: int) -> int:
    return at - at % resolution if resolution else at


def _require_agent(tx: Tx, org: str, vault: str) -> None:
    if agents.get_agent(tx, org, vault) is None:
        raise NotFoundError("not_found", "there is no such agent")
