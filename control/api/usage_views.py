"""How use and forecasts look to a caller: times as RFC 3339, null for never."""

from msgspec import Struct

from control.model.reported_values import MAX_SECONDS
from control.model.usage import Ranked, SecretInventory, SecretRow, UsagePoint
from control.services import usage as services
from control.services.capacity import FigureForecast
from control.services.key_rotation import KeyState
from control.store.usage import DAY
from protocols.instant import SECOND, rfc3339, rfc3339_or_none
from protocols.link.vocabulary import USAGE_DAYS


class OperationView(Struct, frozen=True):
    """An operation, how often; `failed` are refusals and failures among them."""

    operation: str
    count: int
    failed: int


class ClassView(Struct, frozen=True):
    """How many for at most so many days (and more than the class before); null: for longer."""

    days: int | None
    count: int


class SecretsView(Struct, frozen=True):
    """All secrets of all agents that told of them."""

    total: int
    never_read: int
    unused: int
    expiring: int
    expired: int
    rotation_due: int
    idle: tuple[ClassView, ...]
    age: tuple[ClassView, ...]
    expires: tuple[ClassView, ...]


class UsageView(Struct, frozen=True):
    """The overview. `agents` told of their secrets, `opaque_agents` of them by opaque ids.

    `system_…` are of the program itself and of its pages: not part of `count` and `operations`.
    """

    since: str
    until: str
    count: int
    failed: int
    agents: int
    opaque_agents: int
    operations: tuple[OperationView, ...]
    system_count: int
    system_failed: int
    system_operations: tuple[OperationView, ...]
    secrets: SecretsView


class PointView(Struct, frozen=True):
    """Of a curve."""

    at: str
    count: int
    failed: int


class TopView(Struct, frozen=True):
    """A page; `next` is empty on the last."""

    rows: tuple[Ranked, ...]
    next: str


class SecretView(Struct, frozen=True):
    """A secret by its opaque id, with its reads in the time asked for."""

    vault: str
    secret: str
    reads: int
    last_read: str | None
    rotated_at: str | None
    expires_at: str | None
    seen_at: str | None


class SecretsPage(Struct, frozen=True):
    """A page; `next` is empty on the last."""

    rows: tuple[SecretView, ...]
    next: str


class KeyView(Struct, frozen=True):
    """An agent's key-encryption key. `exact`: in use since `since`; else since then or longer.

    `due_since`: from when on a change of it is owed; null while none is.
    """

    vault: str
    generation: int
    since: str
    exact: bool
    due_since: str | None


class KeysPage(Struct, frozen=True):
    """A page; `next` is empty on the last. `due`: how many of all owe a change."""

    rows: tuple[KeyView, ...]
    next: str
    told: int
    due: int


class ValueView(Struct, frozen=True):
    """A day's mean."""

    at: str
    value: float


class AheadView(Struct, frozen=True):
    """What is expected, and the 90 % band."""

    at: str
    expected: float
    low: float
    high: float


class ForecastView(Struct, frozen=True):
    """A figure and where it is going; `enough` false: too little is known to say (`reason`)."""

    name: str
    unit: str
    vault: str
    enough: bool
    reason: str
    points: int
    weekly: bool
    per_day: float
    history: tuple[ValueView, ...]
    band: tuple[AheadView, ...]
    full_at: str | None


def secrets_view(
    summaries: list[SecretInventory], *, unused: int, rotation: int, expiring: int
) -> SecretsView:
    """All agents' looks added up; the three are days, of `USAGE_DAYS`."""
    idle, age, soon = (
        tuple(map(sum, zip(*(getattr(look, name) for look in summaries), strict=True)))
        or (0,) * (len(USAGE_DAYS) + 1)
        for name in ("idle", "age", "expires")
    )
    return SecretsView(
        total=sum(look.total for look in summaries),
        never_read=sum(look.never_read for look in summaries),
        unused=services.count_above(idle, unused),
        expiring=services.count_at_most(soon, expiring),
        expired=sum(look.expired for look in summaries),
        rotation_due=services.count_above(age, rotation),
        idle=_class_views(idle),
        age=_class_views(age),
        expires=_class_views(soon),
    )


def point_view(point: UsagePoint) -> PointView:
    return PointView(bounded_instant(point.at), point.count, point.failed)


def secret_view(row: SecretRow) -> SecretView:
    times = (row.last_read, row.rotated_at, row.expires_at, row.seen_at)
    return SecretView(
        row.vault, row.secret, row.reads, *(bounded_instant(at) if at else None for at in times)
    )


def key_view(row: KeyState) -> KeyView:
    due = rfc3339_or_none(row.due_since)
    return KeyView(row.vault, row.generation, rfc3339(row.since), row.exact, due)


def forecast_view(one: FigureForecast) -> ForecastView:
    return ForecastView(
        name=one.name,
        unit=one.unit,
        vault=one.vault,
        enough=not one.reason,
        reason=one.reason,
        points=len(one.history),
        weekly=one.weekly,
        per_day=one.per_day,
        history=tuple(ValueView(bounded_instant(at), value) for at, value in one.history),
        band=tuple(
            AheadView(bounded_instant(p.day * DAY), p.expected, p.low, p.high) for p in one.band
        ),
        full_at=bounded_instant(one.full_at) if one.full_at else None,
    )


def _class_views(counts: tuple[int, ...]) -> tuple[ClassView, ...]:
    bounds = (*USAGE_DAYS, None)
    return tuple(ClassView(days, count) for days, count in zip(bounds, counts, strict=True))


def bounded_instant(seconds: int) -> str:
    """The last one that there is for what an agent said of a later one."""
    return rfc3339(min(seconds, MAX_SECONDS) * SECOND)
