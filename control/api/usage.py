"""What is used, and what it will take: questions about agents' counts, and tables to take away."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from control.api import usage_views as views
from control.api.endpoint import EndpointCall, EndpointGroup, FileResponse
from control.api.services import UsageServices
from control.api.usage_views import (
    ForecastView,
    KeysPage,
    KeyView,
    OperationView,
    PointView,
    SecretsPage,
    SecretView,
    TopView,
    UsageView,
)
from control.model.usage import Ranked, SecretRow, UsageKind, UsagePeriod, UsagePoint, Which
from control.services.csv_tables import csv_rows
from control.services.key_rotation import KeyState
from control.store.usage import DAY
from protocols.instant import SECOND
from protocols.link.vocabulary import SYSTEM_OPERATIONS

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


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """Of whom, and when: Unix seconds, `until` excluded; 0: now, and a month before."""

    vault: Vault = ""
    since: Seconds = 0
    until: Seconds = 0


class Overview(Asked, frozen=True):
    """And what counts as unused, as old and as soon."""

    unused_days: Days = 90
    rotation_days: Days = 90
    expiring_days: Days = 30


class Curve(Asked, frozen=True):
    """Of one operation, or all. `system`: with those of the program itself and of its pages."""

    operation: Operation = ""
    system: bool = False
    resolution: Literal[3600, 86_400] = 86_400


class Top(Asked, frozen=True):
    """The most used of a kind. `system`: with operations of the program itself and of its pages."""

    of: Of = "agent"
    system: bool = False
    after: After = ""
    limit: Page = 100


class Secrets(Asked, frozen=True):
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


class Export(Asked, frozen=True):
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


_ALL: Final = "organizations/{org}/usage"


@usage.route("GET", _ALL, "Operations and secrets, added up")
async def overview(call: Call, org: str, *, query: Overview) -> UsageView:
    span = _usage_span(call, org, query)
    every = await call.services.usage.list_operations(span)
    rows = [row for row in every if row.subject not in SYSTEM_OPERATIONS]
    system = [row for row in every if row.subject in SYSTEM_OPERATIONS]
    looks = await call.services.usage.list_inventories(org, query.vault)
    return UsageView(
        since=views.bounded_instant(span.since),
        until=views.bounded_instant(span.until),
        count=sum(row.count for row in rows),
        failed=sum(row.failed for row in rows),
        agents=len(looks),
        opaque_agents=sum(look.opaque or not look.total for look in looks),  # no secret to name
        operations=tuple(OperationView(row.subject, row.count, row.failed) for row in rows),
        system_count=sum(row.count for row in system),
        system_failed=sum(row.failed for row in system),
        system_operations=tuple(OperationView(r.subject, r.count, r.failed) for r in system),
        secrets=views.secrets_view(
            looks,
            unused=query.unused_days,
            rotation=query.rotation_days,
            expiring=query.expiring_days,
        ),
    )


@usage.route("GET", _ALL + "/curve", "Operations in time")
async def curve(call: Call, org: str, *, query: Curve) -> list[PointView]:
    return [views.point_view(point) for point in await _curve_points(call, org, query)]


@usage.route("GET", _ALL + "/top", "The most used first")
async def top(call: Call, org: str, *, query: Top) -> TopView:
    found, onward = await _top_rows(call, org, query, query.of, query.limit)
    return TopView(tuple(found), onward)


@usage.route("GET", _ALL + "/secrets", "Secrets that need a look: unused, over-used, expiring, old")
async def secrets(call: Call, org: str, *, query: Secrets) -> SecretsPage:
    found, onward = await _secret_rows(call, org, query, query.which, query.limit)
    return SecretsPage(tuple(map(views.secret_view, found)), onward)


@usage.route("GET", _ALL + "/keys", "Key-encryption keys of agents, and who owes a change")
async def keys(call: Call, org: str, *, query: OfKeys) -> KeysPage:
    every = await call.services.key_rotation.list_key_states(org, query.vault)
    due = [row for row in every if row.due_since]
    found, onward = _page_of(due if query.due else every, query.after, query.limit)
    return KeysPage(tuple(map(views.key_view, found)), onward, len(every), len(due))


@usage.route(
    "GET",
    _ALL + "/export",
    "A table of any of these, as CSV or JSON",
    returns=list[dict[str, Any]],
    documents=("text/csv",),
)
async def export(call: Call, org: str, *, query: Export) -> FileResponse:
    if query.of == "curve":
        points = [views.point_view(point) for point in await _curve_points(call, org, query)]
        return _export_file(
            org, query, _ExportTable(PointView, query.format).append_rows(points), ""
        )
    if query.of == "keys":
        every = await call.services.key_rotation.list_key_states(org, query.vault)
        page, onward = _page_of(every, query.after, MAX_EXPORT_ROWS)
        table = _ExportTable(KeyView, query.format).append_rows(
            [views.key_view(row) for row in page]
        )
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
            table.append_rows([views.secret_view(row) for row in found])
        if not after:
            break
    return _export_file(org, query, table, after)


@capacity.route(
    "GET", "organizations/{org}/capacity", "Forecasts of storage and load, with their bands"
)
async def forecasts(call: Call, org: str, *, query: Horizon) -> list[ForecastView]:
    found = await call.services.capacity.list_forecasts(org, query.vault, query.days)
    return [views.forecast_view(one) for one in found]


def _usage_span(call: Call, org: str, asked: Asked) -> UsagePeriod:
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
