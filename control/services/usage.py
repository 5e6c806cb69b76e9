"""Usage reports of agents: stored once each, added up by hour and day, queried page by page."""

from functools import partial
from typing import Final, TypeVar

from msgspec import Struct

from actors import World
from control.errors import NotFoundError, ValidationError
from control.model.reported_values import MAX_SECONDS, clamp_count, clamp_to_now
from control.model.usage import (
    KnownSecret,
    PageCursor,
    Ranked,
    SecretInventory,
    SecretQuery,
    SecretRow,
    UsageCount,
    UsageKind,
    UsagePeriod,
    UsagePoint,
    UsageReport,
    Which,
    newest_by_vault,
)
from control.services import agent_metrics
from control.store import agents, usage
from control.store.rows import Tx
from control.store.store import Store
from control.store.usage import DAY, HOUR
from protocols.instant import SECOND
from protocols.link.messages import Secrets as Seen
from protocols.link.messages import Usage as UsageMessage
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


class UsageRetention(Struct, frozen=True):
    """Seconds for which counts are kept by the hour, and then by the day."""

    hours: int = 7 * DAY
    days: int = 400 * DAY


def ingest_usage(tx: Tx, org: str, vault: str, told: UsageMessage, *, now: int) -> bool:
    """Store a report, unless a later one of the same beginning is there. `now`: Unix seconds.

    Whose agent could not look at its secrets then tells of operations alone: the rest stays.
    A report that spans clock hours, has an impossible time, or is one part too many is dropped.
    """
    since, until = told.since // _MILLI, told.until // _MILLI
    part = UsageReport(org, vault, since, until, rolled=False)
    if not _is_timely(part, now) or not _is_within_limit(tx, part):
        return False
    has_looked = told.secrets.at or told.named or told.identities
    kinds = tuple(UsageKind) if has_looked else (UsageKind.OPERATION,)
    usage.replace_usage_report(tx, part, kinds, _usage_counts(org, vault, since, told))
    usage.put_known_secrets(tx, _known_secrets(org, vault, told, now), MAX_SECRETS)
    if told.secrets.at:
        seen = _inventory(org, vault, told, now)
        if agent_metrics.is_later_slot(seen.at, usage.put_inventory(tx, seen)):
            agent_metrics.ingest_figures(
                tx, org, vault, until, inventory_figures(told.secrets), now=now
            )
    return True


def _is_timely(part: UsageReport, now: int) -> bool:
    ends = part.since - part.since % HOUR + HOUR
    recent = now - PARTS_KEPT < part.since
    return recent and part.since <= part.until <= min(ends, now + agent_metrics.MAX_CLOCK_LEAD)


def _is_within_limit(tx: Tx, part: UsageReport) -> bool:
    there = usage.get_usage_report(tx, part.org, part.vault, part.since)
    if there is not None:
        return not there.rolled and there.until < part.until
    hour, day = part.since - part.since % HOUR, part.since - part.since % DAY
    of_hour = usage.count_usage_reports(tx, part.org, part.vault, hour, hour + HOUR)
    of_day = usage.count_usage_reports(tx, part.org, part.vault, day, day + DAY)
    return of_hour < MAX_PARTS and of_day < MAX_DAY_PARTS


def inventory_figures(seen: Seen) -> dict[str, float]:
    """The series of an agent's inventories of its secrets."""
    return {
        "secrets_never_read": seen.never_read,
        "secrets_expired": seen.expired,
        "secrets_idle_90d": count_above(seen.idle, 90),
        "secrets_old_90d": count_above(seen.age, 90),
        "secrets_expiring_30d": count_at_most(seen.expires, 30),
    }


def count_above(classes: tuple[int, ...], days: int) -> int:
    """How many secrets for longer than this; `days` is one of `USAGE_DAYS`."""
    return sum(classes[USAGE_DAYS.index(days) + 1 :])


def count_at_most(classes: tuple[int, ...], days: int) -> int:
    """How many secrets for at most this; `days` is one of `USAGE_DAYS`."""
    return sum(classes[: USAGE_DAYS.index(days) + 1])


class Usage:
    """Queries usage, and deletes old counts."""

    def __init__(self, store: Store, retention: UsageRetention, world: World) -> None:
        self._store = store
        self._retention = retention
        self._world = world

    async def list_inventories(
        self, org: str, vault: str
    ) -> tuple[list[SecretInventory], list[SecretInventory]]:
        """The newest inventory of each agent's secrets; and of each vault, to be added up.

        Raises `NotFoundError`.
        """
        await self._require_agent(org, vault)

        def find(tx: Tx) -> tuple[list[SecretInventory], list[SecretInventory]]:
            found = usage.list_inventories(tx, org, vault)
            return found, newest_by_vault(found, agents.list_vault_ids(tx, org))

        return await self._store.read(find)

    async def list_operations(self, span: UsagePeriod) -> list[Ranked]:
        """Every operation, the most frequent first. Raises `NotFoundError`."""
        await self._require_agent(span.org, span.vault)
        return await self._store.read(lambda tx: usage.list_operations(tx, span))

    async def usage_curve(
        self, span: UsagePeriod, resolution: int, operation: str = ""
    ) -> list[UsagePoint]:
        """Operations in time, at most `MAX_POINTS`. Raises `NotFoundError`."""
        await self._require_agent(span.org, span.vault)
        return await self._store.read(
            lambda tx: usage.usage_curve(tx, span, resolution, operation, MAX_POINTS)
        )

    async def most_used(
        self, span: UsagePeriod, kind: UsageKind | None, after: str, limit: int
    ) -> tuple[list[Ranked], str]:
        """The most used (None: agents), and the cursor of the next page. Raises `NotFoundError`."""
        await self._require_agent(span.org, span.vault)
        begin = _parse_cursor(after)
        found = await self._store.read(lambda tx: usage.most_used(tx, span, kind, begin, limit))
        last = found[-1] if len(found) == limit else None
        return found, "" if last is None else f"{last.count}~{last.vault}~{last.subject}"

    async def list_secrets(
        self, span: UsagePeriod, wanted: SecretQuery, after: str, limit: int
    ) -> tuple[list[SecretRow], str]:
        """Secrets that agents named, and the cursor of the next page. Raises `NotFoundError`."""
        await self._require_agent(span.org, span.vault)
        begin = _parse_cursor(after)
        found = await self._store.read(
            lambda tx: usage.list_secrets(tx, span, wanted, begin, limit)
        )
        last = found[-1] if len(found) == limit else None
        return found, "" if last is None else f"{last.key}~{last.vault}~{last.secret}"

    async def roll_up_and_delete(self) -> None:
        """Roll old hours up to days, and delete old days."""
        now = self._world.now() // SECOND
        rolled = ROLLED_AT_ONCE
        while rolled == ROLLED_AT_ONCE:
            before = now - self._retention.hours
            rolled = await self._store.write(partial(_roll_up_days, before))
        old = now - self._retention.days
        await self._store.write(partial(_delete_older, now - PARTS_KEPT, old))

    def secret_query(self, which: Which, *, days: int, factor: int) -> SecretQuery:
        """`days`: unused or not rotated for so long, or until it expires."""
        now = self._world.now() // SECOND
        if which is Which.OVERUSED:
            return SecretQuery(which, factor)
        return SecretQuery(which, now + days * DAY * (1 if which is Which.EXPIRING else -1))

    async def _require_agent(self, org: str, vault: str) -> None:
        def there(tx: Tx) -> bool:
            return agents.get_agent(tx, org, vault) is not None

        if vault and not await self._store.read(there):
            raise NotFoundError("not_found", "there is no such agent")


def _roll_up_days(before: int, tx: Tx) -> int:
    return usage.roll_up_days(tx, before, ROLLED_AT_ONCE)


def _delete_older(parts_before: int, days_before: int, tx: Tx) -> None:
    usage.delete_older_usage(tx, parts_before=parts_before, days_before=days_before)


def _parse_cursor(text: str) -> PageCursor | None:
    if not text:
        return None
    key, _, rest = text.partition("~")
    vault, mark, subject = rest.partition("~")
    if not (key.isascii() and key.isdigit() and len(key) < 19 and mark):  # noqa: PLR2004  # BIGINT
        raise ValidationError("query_invalid", "`after` is not the `next` of a page", field="after")
    return PageCursor(int(key), vault, subject)


def _usage_counts(org: str, vault: str, since: int, told: UsageMessage) -> list[UsageCount]:
    found = [(UsageKind.OPERATION, str(one.name), one.count, one.failed) for one in told.operations]
    found += [(UsageKind.SECRET, one.secret.hex(), one.reads, 0) for one in told.named if one.reads]
    found += [(UsageKind.IDENTITY, one.identity.hex(), one.count, 0) for one in told.identities]
    at = since - since % HOUR
    return [
        UsageCount(org, vault, HOUR, at, kind, who, since, clamp_count(n), clamp_count(bad))
        for kind, who, n, bad in found
    ]


def _known_secrets(org: str, vault: str, told: UsageMessage, now: int) -> list[KnownSecret]:
    return [
        KnownSecret(
            org,
            vault,
            one.secret.hex(),
            last_read=clamp_to_now(one.last_read // _MILLI, now),
            rotated_at=clamp_to_now(one.rotated_at // _MILLI, now),
            expires_at=min(one.expires_at // _MILLI, MAX_SECONDS),
            seen_at=clamp_to_now(told.until // _MILLI, now),
        )
        for one in told.named
    ]


def _inventory(org: str, vault: str, told: UsageMessage, now: int) -> SecretInventory:
    seen = told.secrets
    return SecretInventory(
        org,
        vault,
        at=clamp_to_now(seen.at // _MILLI, now),
        total=clamp_count(seen.total),
        never_read=clamp_count(seen.never_read),
        expired=clamp_count(seen.expired),
        idle=tuple(map(clamp_count, seen.idle)),
        age=tuple(map(clamp_count, seen.age)),
        expires=tuple(map(clamp_count, seen.expires)),
        opaque=bool(told.named or told.identities),
    )
