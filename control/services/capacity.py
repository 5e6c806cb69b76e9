"""What the fleet will take: forecasts of what agents reported, each with its band.

An organization's figure is the sum over its agents. It is added up once a day for the day before
and kept as a series of no agent (`vault` empty), so that asking does not go through every agent's.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from msgspec import Struct

from actors import World
from control.errors import NotFoundError
from control.model.records import Sample
from control.model.usage import Span
from control.services.forecast import ENOUGH, Ahead, forecast
from control.store import agents, people, samples, usage
from control.store.rows import Tx
from control.store.store import Store
from control.store.usage import DAY, HOUR
from protocols.instant import SECOND

GAUGES: Final = {"secrets": "", "store_bytes": "bytes", "audit_bytes": "bytes"}
REQUESTS: Final = "requests"
FREE: Final = "disk_free_bytes"
LOOKS_BACK: Final = 90  # days
STEPS: Final = 30  # points of a band
NOBODY: Final = ""  # the series of a whole organization
TOO_LITTLE: Final = f"there are fewer than {ENOUGH} days of data"


class Forecast(Struct, frozen=True):
    """One figure: its daily means (`at`: Unix seconds), and what is expected of it.

    `full_at`: when the expected value has taken the free space; 0 if it does not, or nobody knows.
    """

    name: str
    unit: str
    vault: str
    reason: str
    weekly: bool
    per_day: float
    history: tuple[tuple[int, float], ...]
    band: tuple[Ahead, ...]
    full_at: int


class Capacity:
    """Answers what is to be expected, and adds up what that takes."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world

    async def forecasts(self, org: str, vault: str, days: int) -> list[Forecast]:
        """Every figure, `days` ahead. Raises `NotFoundError`."""
        today = self._today()

        def find(tx: Tx) -> list[Forecast]:
            if vault and agents.agent(tx, org, vault) is None:
                raise NotFoundError("not_found", "there is no such agent")
            return _forecasts(tx, org, vault, today, days)

        return await self._store.read(find)

    async def tick(self) -> None:
        """Add up yesterday for every organization, if that was not done."""
        yesterday = self._today() - 1
        after = ""
        while page := await self._store.read(partial(_page, after)):
            for org in page:
                if not await self._store.read(partial(_is_summed, org, yesterday)):
                    await self._store.write(partial(_sum_up, org, yesterday))
            after = page[-1]

    def _today(self) -> int:
        return self._world.now() // SECOND // DAY


def _forecasts(tx: Tx, org: str, vault: str, today: int, days: int) -> list[Forecast]:
    known = {name: _daily(tx, org, vault, name, today) for name in GAUGES}
    free = _daily(tx, org, vault, FREE, today) if vault else []
    span = Span(org, vault, (today - LOOKS_BACK) * DAY, today * DAY)
    asked = usage.curve(tx, span, DAY, "", LOOKS_BACK)
    known[REQUESTS] = [(point.at // DAY, point.count / 24) for point in asked]
    left = free[-1][1] if free else None
    ahead = range(today, today + days, max(days // STEPS, 1))
    return [
        _forecast(name, vault, found, ahead, left if unit == "bytes" else None)
        for name, found in known.items()
        for unit in (GAUGES.get(name, "1/h"),)
    ]


def _forecast(
    name: str, vault: str, known: Sequence[tuple[int, float]], ahead: range, free: float | None
) -> Forecast:
    today = ahead.start
    trend = forecast(known, [*ahead, ahead.stop])
    full = 0
    if trend is not None and free is not None and trend.per_day > 0:
        full = (today + int(free / trend.per_day)) * DAY
    return Forecast(
        name=name,
        unit=GAUGES.get(name, "1/h"),
        vault=vault,
        reason=TOO_LITTLE if trend is None else "",
        weekly=trend is not None and trend.weekly,
        per_day=0.0 if trend is None else trend.per_day,
        history=tuple((day * DAY, value) for day, value in known),
        band=() if trend is None else trend.ahead,
        full_at=full if full < 2**33 else 0,
    )


def _daily(tx: Tx, org: str, vault: str, name: str, today: int) -> list[tuple[int, float]]:
    """The mean of each whole day of the time looked back at that there is anything of."""
    number = samples.series_of(tx, org, vault).get(name)
    if number is None:
        return []
    since = (today - LOOKS_BACK) * DAY
    found: dict[int, list[float]] = {}
    hours = samples.between(tx, number, HOUR, since=since, until=today * DAY, limit=24 * LOOKS_BACK)
    for sample in hours:
        found.setdefault(sample.at // DAY, []).append(sample.total / sample.count)
    return [(day, sum(values) / len(values)) for day, values in sorted(found.items())]


def _page(after: str, tx: Tx) -> list[str]:
    return [org.id for org in people.all_organizations(tx, after, 100)]


def _is_summed(org: str, day: int, tx: Tx) -> bool:
    number = samples.series_of(tx, org, NOBODY).get("secrets")
    at = day * DAY
    return number is not None and bool(
        samples.between(tx, number, HOUR, since=at, until=at + 1, limit=1)
    )


def _sum_up(org: str, day: int, tx: Tx) -> None:
    known = samples.series_of(tx, org, NOBODY)
    known |= samples.add_series(tx, org, NOBODY, [name for name in GAUGES if name not in known])
    at = day * DAY
    rows = [
        (known[name], HOUR, Sample(at, 1, *(total,) * 4))
        for name in GAUGES
        for total in (samples.summed(tx, org, name, since=at, until=at + DAY),)
    ]
    samples.merge(tx, rows)
