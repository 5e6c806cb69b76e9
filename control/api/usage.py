"""What is used, and what it will take: questions about agents' counts, and tables to take away."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from control.api.endpoint import EndpointCall, EndpointGroup, FileResponse
from control.api.services import UsageServices
from control.model.reported_values import MAX_SECONDS
from control.model.usage import (
    Ranked,
    SecretInventory,
    SecretRow,
    UsageKind,
    UsagePeriod,
    UsagePoint,
    Which,
)
from control.services import usage as services
from control.services.capacity import FigureForecast
from control.services.csv_tables import csv_rows
from control.services.key_rotation import KeyState
from control.store.usage import DAY
from protocols.instant import SECOND, rfc3339, rfc3339_or_none
from protocols.link.vocabulary import SYSTEM_OPERATIONS, USAGE_DAYS

Call = EndpointCall[UsageServices]

usage = EndpointGroup[UsageServices](
    "usage", "What is used, as agents count it; secrets by opaque ids."
)
capacity = EndpointGroup[UsageServices]("capacity", "What it will take.")

Seconds = Annotated[int, Meta(ge=0, le=2**33)]
Vault = Annotated[str, Meta(max_length=64, pattern="^[a-z0-9-]*$")]
After = Annotated[str, Meta(max_length=200, pattern="^[a-z0-9~._-]*$")]
Operation = Annotated[str, Meta(max_length=64, pattern="^[a-z._]*$")]
Page = Annotated[int, Meta(ge=1, le=1000)]
Days = Literal[1, 7, 30, 90, 180, 365]
Of = Literal["agent", "operation", "secret", "identity"]

MONTH: Final = 30 * DAY
MAX_EXPORT_ROWS: Final = 10_000  # rows of one table
EXPORT_PAGE: Final = 2_500  # rows that are read at a time
DEFAULTS: Final = {Which.EXPIRING: 30}
_DAYS: Final = 90


class UsageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Of whom, and when: Unix seconds, `until` excluded; 0: now, and a month before."""

    vault: Vault = ""
    since: Seconds = 0
    until: Seconds = 0


class Overview(UsageQuery, frozen=True):
    """And what counts as unused, as old and as soon."""

    unused_days: Days = 90
    rotation_days: Days = 90
    expiring_days: Days = 30


class Curve(UsageQuery, frozen=True):
    """Of one operation, or all. `system`: with those of the program itself and of its pages."""

    operation: Operation = ""
    system: bool = False
    resolution: Literal[3600, 86_400] = 86_400


class Top(UsageQuery, frozen=True):
    """The most used of a kind. `system`: with operations of the program itself and of its pages."""

    of: Of = "agent"
    system: bool = False
    after: After = ""
    limit: Page = 100


class Secrets(UsageQuery, frozen=True):
    """Secrets that agents named. `days` 0: the usual for this list."""

    which: Which = Which.ALL
    days: Annotated[int, Meta(ge=0, le=3650)] = 0
    factor: Annotated[int, Meta(ge=2, le=1_000_000)] = 10
    after: After = ""
    limit: Page = 100


class OfKeys(Struct, frozen=True, forbid_unknown_fields=True):
    """Of which agent; empty: all. `due`: only those that owe a change."""

    vault: Vault = ""
    due: bool = False
    after: Vault = ""
    limit: Page = 100


class Export(UsageQuery, frozen=True):
    """A table."""

    of: Literal[
        "agent", "operation", "secret", "identity", "curve",
        "all", "unused", "overused", "expiring", "rotation", "keys",
    ] = "agent"  # fmt: skip
    format: Literal["csv", "json"] = "csv"
    days: Annotated[int, Meta(ge=0, le=3650)] = 0
    factor: Annotated[int, Meta(ge=2, le=1_000_000)] = 10
    operation: Operation = ""
    system: bool = False
    resolution: Literal[3600, 86_400] = 86_400
    after: After = ""


class Horizon(Struct, frozen=True, forbid_unknown_fields=True):
    """How far ahead, and of which agent."""

    vault: Vault = ""
    days: Annotated[int, Meta(ge=1, le=730)] = 90


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
    """All secrets of all agents that told of them; those of one vault count once."""

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


_ALL: Final = "organizations/{org}/usage"


@usage.route("GET", _ALL, "Operations and secrets, added up")
async def overview(call: Call, org: str, *, query: Overview) -> UsageView:
    span = _usage_span(call, org, query)
    every = await call.services.usage.list_operations(span)
    rows = [row for row in every if row.subject not in SYSTEM_OPERATIONS]
    system = [row for row in every if row.subject in SYSTEM_OPERATIONS]
    looks, of_vaults = await call.services.usage.list_inventories(org, query.vault)
    return UsageView(
        since=bounded_instant(span.since),
        until=bounded_instant(span.until),
        count=sum(row.count for row in rows),
        failed=sum(row.failed for row in rows),
        agents=len(looks),
        opaque_agents=sum(look.opaque or not look.total for look in looks),  # no secret to name
        operations=tuple(OperationView(row.subject, row.count, row.failed) for row in rows),
        system_count=sum(row.count for row in system),
        system_failed=sum(row.failed for row in system),
        system_operations=tuple(OperationView(r.subject, r.count, r.failed) for r in system),
        secrets=secrets_view(
            of_vaults,
            unused=query.unused_days,
            rotation=query.rotation_days,
            expiring=query.expiring_days,
        ),
    )


@usage.route("GET", _ALL + "/curve", "Operations in time")
async def curve(call: Call, org: str, *, query: Curve) -> list[PointView]:
    return [point_view(point) for point in await _curve_points(call, org, query)]


@usage.route("GET", _ALL + "/top", "The most used first")
async def top(call: Call, org: str, *, query: Top) -> TopView:
    found, onward = await _top_rows(call, org, query, query.of, query.limit)
    return TopView(tuple(found), onward)


@usage.route("GET", _ALL + "/secrets", "Secrets that need a look: unused, over-used, expiring, old")
async def secrets(call: Call, org: str, *, query: Secrets) -> SecretsPage:
    found, onward = await _secret_rows(call, org, query, query.which, query.limit)
    return SecretsPage(tuple(map(secret_view, found)), onward)


@usage.route("GET", _ALL + "/keys", "Key-encryption keys of agents, and who owes a change")
async def keys(call: Call, org: str, *, query: OfKeys) -> KeysPage:
    every = await call.services.key_rotation.list_key_states(org, query.vault)
    due = [row for row in every if row.due_since]
    found, onward = _page_of(due if query.due else every, query.after, query.limit)
    return KeysPage(tuple(map(key_view, found)), onward, len(every), len(due))


@usage.route(
    "GET",
    _ALL + "/export",
    "A table of any of these, as CSV or JSON",
    returns=list[dict[str, Any]],
    documents=("text/csv",),
)
async def export(call: Call, org: str, *, query: Export) -> FileResponse:
    if query.of == "curve":
        points = [point_view(point) for point in await _curve_points(call, org, query)]
        return _export_file(
            org, query, _ExportTable(PointView, query.format).append_rows(points), ""
        )
    if query.of == "keys":
        every = await call.services.key_rotation.list_key_states(org, query.vault)
        page, onward = _page_of(every, query.after, MAX_EXPORT_ROWS)
        table = _ExportTable(KeyView, query.format).append_rows([key_view(row) for row in page])
        return _export_file(org, query, table, onward)
    ranks = query.of in ("agent", "operation", "secret", "identity")
    table, after = _ExportTable(Ranked if ranks else SecretView, query.format), query.after
    for _ in range(MAX_EXPORT_ROWS // EXPORT_PAGE):  # others get their turn between two pieces
        asked = msgspec.structs.replace(query, after=after)
        if ranks:
            ranked, after = await _top_rows(call, org, asked, query.of, EXPORT_PAGE)
            table.append_rows(ranked)
        else:
            found, after = await _secret_rows(call, org, asked, Which(query.of), EXPORT_PAGE)
            table.append_rows([secret_view(row) for row in found])
        if not after:
            break
    return _export_file(org, query, table, after)


@capacity.route(
    "GET", "organizations/{org}/capacity", "Forecasts of storage and load, with their bands"
)
async def forecasts(call: Call, org: str, *, query: Horizon) -> list[ForecastView]:
    found = await call.services.capacity.list_forecasts(org, query.vault, query.days)
    return [forecast_view(one) for one in found]


def _usage_span(call: Call, org: str, asked: UsageQuery) -> UsagePeriod:
    until = asked.until or call.world.now() // SECOND + 1
    return UsagePeriod(org, asked.vault, asked.since or max(until - MONTH, 0), until)


async def _curve_points(call: Call, org: str, query: Curve | Export) -> list[UsagePoint]:
    span = replace(_usage_span(call, org, query), system=query.system or bool(query.operation))
    return await call.services.usage.usage_curve(span, query.resolution, query.operation)


async def _top_rows(
    call: Call, org: str, query: Top | Export, of: str, limit: int
) -> tuple[list[Ranked], str]:
    kind = None if of == "agent" else UsageKind(of)
    span = replace(_usage_span(call, org, query), system=query.system)
    return await call.services.usage.most_used(span, kind, query.after, limit)


async def _secret_rows(
    call: Call, org: str, query: Secrets | Export, which: Which, limit: int
) -> tuple[list[SecretRow], str]:
    days = query.days or DEFAULTS.get(which, _DAYS)
    wanted = call.services.usage.secret_query(which, days=days, factor=query.factor)
    span = _usage_span(call, org, query)
    return await call.services.usage.list_secrets(span, wanted, query.after, limit)


def _page_of(rows: list[KeyState], after: str, limit: int) -> tuple[list[KeyState], str]:
    """By name, behind `after`; and the `after` of the next one."""
    left = [row for row in rows if row.vault > after]
    return left[:limit], left[limit - 1].vault if len(left) > limit else ""


class _ExportTable:
    """What is exported, as far as it was read."""

    def __init__(self, columns: type[Struct], form: Literal["csv", "json"]) -> None:
        self._names = columns.__struct_fields__
        self._is_csv = form == "csv"
        self._pieces = [csv_rows([self._names])] if self._is_csv else []

    def append_rows(self, rows: Sequence[Struct]) -> Self:
        """Append these."""
        if self._is_csv:
            names = self._names
            self._pieces.append(csv_rows([getattr(row, name) for name in names] for row in rows))
        elif rows:
            self._pieces.append(msgspec.json.encode(rows)[1:-1])
        return self

    def encoded_body(self) -> bytes:
        """All of it."""
        return b"".join(self._pieces) if self._is_csv else b"[" + b",".join(self._pieces) + b"]"


def _export_file(org: str, query: Export, table: _ExportTable, onward: str) -> FileResponse:
    more = ""
    if onward:
        asked = {**msgspec.to_builtins(query), "after": onward}
        more = f"/api/v1/organizations/{org}/usage/export?{urlencode(asked)}"
    kind = "text/csv; charset=utf-8" if query.format == "csv" else "application/json"
    return FileResponse(table.encoded_body(), kind, f"usage-{query.of}.{query.format}", more)


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
