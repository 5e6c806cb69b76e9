"""What agents tell of use: taken once each, added up by hour and day, asked for page by page."""

from functools import partial
from typing import Final, TypeVar

from msgspec import Struct

from actors import World
from control.errors import NotFoundError, ValidationError
from control.model.claims import LATEST, counted, passed
from control.model.usage import (
    After,
    Count,
    Kind,
    Known,
    Look,
    Part,
    Point,
    Ranked,
    SecretRow,
    Span,
    Wanted,
    Which,
)
from control.services import metrics
from control.store import agents, usage
from control.store.rows import Tx
from control.store.store import Store
from control.store.usage import DAY, HOUR
from protocols.instant import SECOND
from protocols.link.usage import Secrets as Seen
from protocols.link.usage import Usage as Told
from protocols.link.vocabulary import USAGE_DAYS

MAX_POINTS: Final = 5000
MAX_PARTS: Final = 12
"""Of an agent and clock hour: it begins a new one with each start."""
MAX_DAY_PARTS: Final = 96
"""And of a day: each names up to 224 things, and what a day knows is kept for a year."""
MAX_SECRETS: Final = 10_000
"""That are known of an agent by name. Who was not named for longest makes room for a new one."""
PARTS_KEPT: Final = 60 * DAY
"""How late a report may come. Longer than an agent's outbox holds it; then nothing of it is known
any more, and it could count twice."""
ROLLED_AT_ONCE: Final = 200
"""Parts a transaction: each has up to some 300 counts."""
_MILLI: Final = 1000

R = TypeVar("R", Ranked, SecretRow)


class Retention(Struct, frozen=True):
    """Seconds for which counts are kept by the hour, and then by the day."""

    hours: int = 7 * DAY
    days: int = 400 * DAY


def ingest(tx: Tx, org: str, vault: str, told: Told, *, now: int) -> bool:
    """Take a report, unless a later one of the same beginning is there. `now`: Unix seconds.

    One that is of no clock hour, of another time than an agent can have, or one part too many is
    not taken.
    """
    since, until = told.since // _MILLI, told.until // _MILLI
    part = Part(org, vault, since, until, rolled=False)
    if not _is_timely(part, now) or not _has_room(tx, part):
        return False
    usage.take(tx, part, _counts(org, vault, since, told))
    usage.know(tx, _known(org, vault, told, now), MAX_SECRETS)
    if told.secrets.at:
        seen = _look(org, vault, told, now)
        if metrics.is_later(seen.at, usage.look(tx, seen)):
            metrics.ingest(tx, org, vault, until, figures(told.secrets), now=now)
    return True


def _is_timely(part: Part, now: int) -> bool:
    ends = part.since - part.since % HOUR + HOUR
    recent = now - PARTS_KEPT < part.since
    return recent and part.since <= part.until <= min(ends, now + metrics.FUTURE)


def _has_room(tx: Tx, part: Part) -> bool:
    there = usage.part(tx, part.org, part.vault, part.since)
    if there is not None:
        return not there.rolled and there.until < part.until
    hour, day = part.since - part.since % HOUR, part.since - part.since % DAY
    of_hour = usage.count_parts(tx, part.org, part.vault, hour, hour + HOUR)
    of_day = usage.count_parts(tx, part.org, part.vault, day, day + DAY)
    return of_hour < MAX_PARTS and of_day < MAX_DAY_PARTS


def figures(seen: Seen) -> dict[str, float]:
    """The series of an agent's looks at its secrets."""
    return {
        "secrets_never_read": seen.never_read,
        "secrets_expired": seen.expired,
        "secrets_idle_90d": above(seen.idle, 90),
        "secrets_old_90d": above(seen.age, 90),
        "secrets_expiring_30d": below(seen.expires, 30),
    }


def above(classes: tuple[int, ...], days: int) -> int:
    """How many for longer than this; `days` is one of `USAGE_DAYS`."""
    return sum(classes[USAGE_DAYS.index(days) + 1 :])


def below(classes: tuple[int, ...], days: int) -> int:
    """How many for at most this; `days` is one of `USAGE_DAYS`."""
    return sum(classes[: USAGE_DAYS.index(days) + 1])


class Usage:
    """Answers questions about use, and lets the old counts go."""

    def __init__(self, store: Store, retention: Retention, world: World) -> None:
        self._store = store
        self._retention = retention
        self._world = world

    async def looks(self, org: str, vault: str) -> list[Look]:
        """The newest look of each agent at its secrets. Raises `NotFoundError`."""
        await self._require(org, vault)
        return await self._store.read(lambda tx: usage.looks(tx, org, vault))

    async def operations(self, span: Span) -> list[Ranked]:
        """Every operation, the most frequent first. Raises `NotFoundError`."""
        await self._require(span.org, span.vault)
        return await self._store.read(lambda tx: usage.operations(tx, span))

    async def curve(self, span: Span, resolution: int, operation: str = "") -> list[Point]:
        """Operations in time, at most `MAX_POINTS`. Raises `NotFoundError`."""
        await self._require(span.org, span.vault)
        return await self._store.read(
            lambda tx: usage.curve(tx, span, resolution, operation, MAX_POINTS)
        )

    async def top(
        self, span: Span, kind: Kind | None, after: str, limit: int
    ) -> tuple[list[Ranked], str]:
        """The most used (None: agents), and where the next page begins. Raises `NotFoundError`."""
        await self._require(span.org, span.vault)
        begin = _after(after)
        found = await self._store.read(lambda tx: usage.top(tx, span, kind, begin, limit))
        last = found[-1] if len(found) == limit else None
        return found, "" if last is None else f"{last.count}~{last.vault}~{last.subject}"

    async def secrets(
        self, span: Span, wanted: Wanted, after: str, limit: int
    ) -> tuple[list[SecretRow], str]:
        """Secrets that agents named, and where the next page begins. Raises `NotFoundError`."""
        await self._require(span.org, span.vault)
        begin = _after(after)
        found = await self._store.read(lambda tx: usage.secrets(tx, span, wanted, begin, limit))
        last = found[-1] if len(found) == limit else None
        return found, "" if last is None else f"{last.key}~{last.vault}~{last.secret}"

    async def sweep(self) -> None:
        """Make days of old hours, and let go of old days."""
        now = self._world.now() // SECOND
        rolled = ROLLED_AT_ONCE
        while rolled == ROLLED_AT_ONCE:
            before = now - self._retention.hours
            rolled = await self._store.write(partial(_roll, before))
        old = now - self._retention.days
        await self._store.write(partial(_sweep, now - PARTS_KEPT, old))

    def wanted(self, which: Which, *, days: int, factor: int) -> Wanted:
        """`days`: for so long unused or not rotated, or until it expires."""
        now = self._world.now() // SECOND
        if which is Which.OVERUSED:
            return Wanted(which, factor)
        return Wanted(which, now + days * DAY * (1 if which is Which.EXPIRING else -1))

    async def _require(self, org: str, vault: str) -> None:
        def there(tx: Tx) -> bool:
            return agents.agent(tx, org, vault) is not None

        if vault and not await self._store.read(there):
            raise NotFoundError("not_found", "there is no such agent")


def _roll(before: int, tx: Tx) -> int:
    return usage.roll(tx, before, ROLLED_AT_ONCE)


def _sweep(parts_before: int, days_before: int, tx: Tx) -> None:
    usage.sweep(tx, parts_before=parts_before, days_before=days_before)


def _after(text: str) -> After | None:
    if not text:
        return None
    key, _, rest = text.partition("~")
    vault, mark, subject = rest.partition("~")
    if not (key.isascii() and key.isdigit() and len(key) < 19 and mark):  # noqa: PLR2004  # BIGINT
        raise ValidationError("query_invalid", "after is no page's next", field="after")
    return After(int(key), vault, subject)


def _counts(org: str, vault: str, since: int, told: Told) -> list[Count]:
    found = [(Kind.OPERATION, str(one.name), one.count, one.failed) for one in told.operations]
    found += [(Kind.SECRET, one.secret.hex(), one.reads, 0) for one in told.named if one.reads]
    found += [(Kind.IDENTITY, one.identity.hex(), one.count, 0) for one in told.identities]
    at = since - since % HOUR
    return [
        Count(org, vault, HOUR, at, kind, who, since, counted(n), counted(bad))
        for kind, who, n, bad in found
    ]


def _known(org: str, vault: str, told: Told, now: int) -> list[Known]:
    return [
        Known(
            org,
            vault,
            one.secret.hex(),
            last_read=passed(one.last_read // _MILLI, now),
            rotated_at=passed(one.rotated_at // _MILLI, now),
            expires_at=min(one.expires_at // _MILLI, LATEST),
            seen_at=passed(told.until // _MILLI, now),
        )
        for one in told.named
    ]


def _look(org: str, vault: str, told: Told, now: int) -> Look:
    seen = told.secrets
    return Look(
        org,
        vault,
        at=passed(seen.at // _MILLI, now),
        total=counted(seen.total),
        never_read=counted(seen.never_read),
        expired=counted(seen.expired),
        idle=tuple(map(counted, seen.idle)),
        age=tuple(map(counted, seen.age)),
        expires=tuple(map(counted, seen.expires)),
        opaque=bool(told.named or told.identities),
    )
