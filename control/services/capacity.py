"""Capacity forecasts from agents' reports, each with its band.

An organization's figure is the sum over its agents, or over its vaults where it is the same at each
of their nodes. It is added up once a day for the day before and stored as a series without an agent
(`vault` empty), so that a query does not read every agent's series.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from msgspec import Struct

from actors import World
from control.errors import NotFoundError
from control.model.records import Sample
from control.model.usage import UsagePeriod
from control.services.forecast import MIN_DAYS, ForecastPoint, forecast_trend
from control.store import agents, people, samples, usage
from control.store.rows import Tx
from control.store.store import Store
from control.store.usage import DAY, HOUR
from protocols.instant import SECOND

GAUGES: Final = {"secrets": "", "store_bytes": "bytes", "audit_bytes": "bytes"}
SHARED: Final = frozenset({"secrets", "store_bytes"})
"""Figures that are the same at each node of a vault: they count once."""
REQUESTS: Final = "requests"
FREE: Final = "disk_free_bytes"
HISTORY_DAYS: Final = 90  # days
FORECAST_POINTS: Final = 30  # points of a band
WHOLE_FLEET: Final = ""  # the series of a whole organization
TOO_LITTLE_DATA: Final = f"there are fewer than {MIN_DAYS} days of data"


class FigureForecast(Struct, frozen=True):
    """One figure: its daily means (`at`: Unix seconds) and its forecast.

    `full_at`: when the expected value reaches the free space; 0 if never or unknown.
    """

    name: str
    unit: str
    vault: str
    reason: str
    weekly: bool
    per_day: float
    history: tuple[tuple[int, float], ...]
    band: tuple[ForecastPoint, ...]
    full_at: int


class CapacityForecasts:
    """Makes forecasts, and adds up the daily sums for them."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world

    async def list_forecasts(self, org: str, vault: str, days: int) -> list[FigureForecast]:
        """Every figure, `days` ahead. Raises `NotFoundError`."""
        today = self._today()

        def find(tx: Tx) -> list[FigureForecast]:
            if vault and agents.get_agent(tx, org, vault) is None:
                raise NotFoundError("not_found", "there is no such agent")
            return _forecasts(tx, org, vault, today, days)

        return await self._store.read(find)

    async def sum_up_yesterday(self) -> None:
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


def _forecasts(tx: Tx, org: str, vault: str, today: int, days: int) -> list[FigureForecast]:
    known = {name: _daily(tx, org, vault, name, today) for name in GAUGES}
    free = _daily(tx, org, vault, FREE, today) if vault else []
    span = UsagePeriod(org, vault, (today - HISTORY_DAYS) * DAY, today * DAY)
    asked = usage.usage_curve(tx, span, DAY, "", HISTORY_DAYS)
    known[REQUESTS] = [(point.at // DAY, point.count / 24) for point in asked]
    left = free[-1][1] if free else None
    ahead = range(today, today + days, max(days // FORECAST_POINTS, 1))
    return [
        _forecast(name, vault, found, ahead, left if unit == "bytes" else None)
        for name, found in known.items()
        for unit in (GAUGES.get(name, "1/h"),)
    ]


def _forecast(
    name: str, vault: str, known: Sequence[tuple[int, float]], ahead: range, free: float | None
) -> FigureForecast:
    today = ahead.start
    trend = forecast_trend(known, [*ahead, ahead.stop])
    full = 0
    if trend is not None and free is not None and trend.per_day > 0:
        full = (today + int(free / trend.per_day)) * DAY
    return FigureForecast(
        name=name,
        unit=GAUGES.get(name, "1/h"),
        vault=vault,
        reason=TOO_LITTLE_DATA if trend is None else "",
        weekly=trend is not None and trend.weekly,
        per_day=0.0 if trend is None else trend.per_day,
        history=tuple((day * DAY, value) for day, value in known),
        band=() if trend is None else trend.ahead,
        full_at=full if full < 2**33 else 0,
    )


def _daily(tx: Tx, org: str, vault: str, name: str, today: int) -> list[tuple[int, float]]:
    """The mean of each whole day of the period that has values."""
    number = samples.list_series(tx, org, vault).get(name)
    if number is None:
        return []
    since = (today - HISTORY_DAYS) * DAY
    found: dict[int, list[float]] = {}
    hours = samples.samples_between(
        tx, number, HOUR, since=since, until=today * DAY, limit=24 * HISTORY_DAYS
    )
    for sample in hours:
        found.setdefault(sample.at // DAY, []).append(sample.total / sample.count)
    return [(day, sum(values) / len(values)) for day, values in sorted(found.items())]


def _page(after: str, tx: Tx) -> list[str]:
    return [org.id for org in people.list_organizations(tx, after, 100)]


def _is_summed(org: str, day: int, tx: Tx) -> bool:
    number = samples.list_series(tx, org, WHOLE_FLEET).get("secrets")
    at = day * DAY
    return number is not None and bool(
        samples.samples_between(tx, number, HOUR, since=at, until=at + 1, limit=1)
    )


def _sum_up(org: str, day: int, tx: Tx) -> None:
    known = samples.list_series(tx, org, WHOLE_FLEET)
    known |= samples.add_series(
        tx, org, WHOLE_FLEET, [name for name in GAUGES if name not in known]
    )
    at = day * DAY
    rows = [
        (known[name], HOUR, Sample(at, 1, *(total,) * 4))
        for name in GAUGES
        for total in (
            samples.summed_means(
                tx, org, name, since=at, until=at + DAY, once_a_vault=name in SHARED
            ),
        )
    ]
    samples.merge_samples(tx, rows)
