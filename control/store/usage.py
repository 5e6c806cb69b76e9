"""Usage counts: stored by report, summed in queries, deleted by age."""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

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
)
from control.store.agents import vault_key
from control.store.legal_holds import is_held
from control.store.rows import (
    Tx,
    fetch_all,
    fetch_one,
    insert_or_replace,
    insert_row,
    upsert_statement,
)
from control.store.tables import agents, usage_counts, usage_looks, usage_parts, usage_secrets
from protocols.instant import SECOND
from protocols.link.vocabulary import SYSTEM_OPERATIONS

HOUR: Final = 3600
DAY: Final = 86_400

_C = usage_counts.c
_SYSTEM: Final = sorted(SYSTEM_OPERATIONS)


def get_usage_report(tx: Tx, org: str, vault: str, since: int) -> UsageReport | None:
    """What was taken of this report, if it was."""
    t = usage_parts.c
    chosen = sa.select(usage_parts).where(t.org == org, t.vault == vault, t.since == since)
    return fetch_one(tx, UsageReport, chosen)


def count_usage_reports(tx: Tx, org: str, vault: str, since: int, until: int) -> int:
    """How many began at `since` or later, before `until`."""
    t = usage_parts.c
    mine = t.org == org, t.vault == vault, t.since >= since, t.since < until
    return int(tx.execute(sa.select(sa.func.count()).where(*mine)).scalar_one())


def replace_usage_report(
    tx: Tx, told: UsageReport, kinds: Sequence[UsageKind], counts: Sequence[UsageCount]
) -> None:
    """Put a report, which tells of these kinds, in the place of what was taken of it before."""
    insert_or_replace(tx, usage_parts, told)
    tx.execute(
        usage_counts.delete().where(
            _C.org == told.org,
            _C.vault == told.vault,
            _C.resolution == HOUR,
            _C.at == told.since - told.since % HOUR,
            _C.part == told.since,
            _C.kind.in_(kinds),
        )
    )
    insert_row(tx, usage_counts, *counts)


def put_known_secrets(tx: Tx, secrets: Sequence[KnownSecret], most: int) -> None:
    """What is known of these secrets of one agent from now on; of `most` at most in all.

    Those that were not seen for longest make room, unless a hold covers them.
    """
    if not secrets:
        return
    t, first_ = usage_secrets.c, secrets[0]
    mine = t.org == first_.org, t.vault == first_.vault
    named = [one.secret for one in secrets]
    there = set(tx.execute(sa.select(t.secret).where(*mine, t.secret.in_(named))).scalars())
    new = [one for one in secrets if one.secret not in there]
    if new:
        have = int(tx.execute(sa.select(sa.func.count()).where(*mine)).scalar_one())
        over = have + len(new) - most
        if over > 0:
            free = ~t.secret.in_(named) & ~is_held(t.org, t.seen_at, t.vault, unit=SECOND)
            old = sa.select(t.secret).where(*mine, free).order_by(t.seen_at, t.secret).limit(over)
            have -= tx.execute(usage_secrets.delete().where(*mine, t.secret.in_(old))).rowcount
        new = new[: max(most - have, 0)]
    insert_or_replace(tx, usage_secrets, *(one for one in secrets if one.secret in there), *new)


def put_inventory(tx: Tx, seen: SecretInventory) -> int:
    """An agent's look at its secrets, unless a newer one is there; when that one was, or 0."""
    t = usage_looks.c
    there = tx.execute(sa.select(t.at).where(t.org == seen.org, t.vault == seen.vault)).scalar()
    if there is None or there <= seen.at:
        insert_or_replace(tx, usage_looks, seen)
    return there or 0


def list_inventories(tx: Tx, org: str, vault: str) -> list[SecretInventory]:
    """The newest look of each agent."""
    t = usage_looks.c
    chosen = sa.select(usage_looks).where(t.org == org)
    return fetch_all(tx, SecretInventory, chosen.where(t.vault == vault) if vault else chosen)


def list_operations(tx: Tx, span: UsagePeriod) -> list[Ranked]:
    """Each operation, over all agents asked for, the most frequent first."""
    total = sa.func.sum(_C.count)
    chosen = (
        sa.select(sa.literal("").label("vault"), _C.subject, *_sums())
        .where(*_in_period(span, UsageKind.OPERATION))
        .group_by(_C.subject)
        .order_by(total.desc(), _C.subject)
    )
    return fetch_all(tx, Ranked, chosen)


def usage_curve(
    tx: Tx, span: UsagePeriod, resolution: int, operation: str, limit: int
) -> list[UsagePoint]:
    """Operations in time; by the hour as far as hours are kept."""
    at = (_C.at - _C.at % resolution).label("at")
    chosen = sa.select(at, *_sums()).where(*_in_period(span, UsageKind.OPERATION))
    if resolution == HOUR:
        chosen = chosen.where(_C.resolution == HOUR)
    if operation:
        chosen = chosen.where(_C.subject == operation)
    return fetch_all(tx, UsagePoint, chosen.group_by(at).order_by(at).limit(limit))


def most_used(
    tx: Tx, span: UsagePeriod, kind: UsageKind | None, after: PageCursor | None, limit: int
) -> list[Ranked]:
    """The most used first; without a `kind` the agents, by all their operations."""
    subject = _C.vault if kind is None else _C.subject
    vault = sa.literal("") if kind is UsageKind.OPERATION else _C.vault
    sums = (
        sa.select(vault.label("vault"), subject.label("subject"), *_sums())
        .where(*_in_period(span, kind or UsageKind.OPERATION))
        .group_by(*([subject] if kind is UsageKind.OPERATION else [_C.vault, subject]))
        .subquery()
    )
    t = sums.c
    chosen = sa.select(sums)
    if after is not None:
        chosen = chosen.where(
            _after_cursor(t["count"].desc(), t["count"], t.vault, t.subject, after)
        )
    chosen = chosen.order_by(t["count"].desc(), t.vault, t.subject)
    return fetch_all(tx, Ranked, chosen.limit(limit))


def list_secrets(
    tx: Tx, span: UsagePeriod, wanted: SecretQuery, after: PageCursor | None, limit: int
) -> list[SecretRow]:
    """Secrets that agents named. One that several nodes of a vault named is in the list once.

    Its reads are those of all nodes, the rest is as the node has said that named it last.
    """
    bound = wanted.bound
    reads = _reads(span)
    t, read = usage_secrets.c, sa.func.coalesce(reads.c.reads, 0)
    used = sa.case((t.last_read > 0, t.last_read), else_=t.rotated_at)
    of = t.vault if span.vault else vault_key(t.vault)
    same = reads.c.subject == t.secret  # not secret: an opaque id
    joined = usage_secrets.outerjoin(
        agents, (agents.c.org == t.org) & (agents.c.vault == t.vault)
    ).outerjoin(reads, (reads.c.of == of) & same)
    where: list[Any] = [t.org == span.org]
    where.append(t.vault == span.vault if span.vault else sa.not_(_is_named_later()))
    key: sa.ColumnElement[int] = read
    order = read.desc()
    match wanted.which:
        case Which.UNUSED:
            where.append(used < bound)
            key, order = used, used.asc()
        case Which.EXPIRING:
            where += [t.expires_at > 0, t.expires_at < bound]
            key, order = t.expires_at, t.expires_at.asc()
        case Which.ROTATION:
            where.append(t.rotated_at < bound)
            key, order = t.rotated_at, t.rotated_at.asc()
        case Which.OVERUSED:
            medians = _medians(reads)
            joined = joined.join(medians, medians.c.of == of)
            where += [read >= MIN_OVERUSED, read > bound * medians.c.median]
    if after is not None:
        where.append(_after_cursor(order, key, t.vault, t.secret, after))
    columns = (t.vault, t.secret, read.label("reads"), t.last_read, t.rotated_at, t.expires_at)
    chosen = sa.select(*columns, t.seen_at, key.label("key")).select_from(joined).where(*where)
    return fetch_all(tx, SecretRow, chosen.order_by(order, t.vault, t.secret).limit(limit))


MIN_OVERUSED: Final = 100
"""Reads below which nothing is over-used, however little the rest is."""


def roll_up_days(tx: Tx, before: int, limit: int) -> int:
    """Add the hours of parts that began before this to their days; how many parts."""
    t = usage_parts.c
    free = sa.not_(is_held(t.org, t.since, t.vault, unit=SECOND))
    old = sa.select(usage_parts).where(t.since < before, ~t.rolled, free)
    old = old.order_by(t.since).limit(limit)
    parts = fetch_all(tx, UsageReport, old)
    for one in parts:
        of = (_C.org == one.org, _C.vault == one.vault, _C.resolution == HOUR)
        hours = (*of, _C.at == one.since - one.since % HOUR, _C.part == one.since)
        day = one.since - one.since % DAY
        counts = fetch_all(tx, UsageCount, sa.select(usage_counts).where(*hours))
        _merge(tx, [_at_day(count, day) for count in counts])
        tx.execute(usage_counts.delete().where(*hours))
        insert_or_replace(
            tx, usage_parts, UsageReport(one.org, one.vault, one.since, one.until, rolled=True)
        )
    return len(parts)


def delete_older_usage(tx: Tx, *, parts_before: int, days_before: int) -> None:
    """Let go of what is older (Unix seconds), and free."""
    p, s = usage_parts.c, usage_secrets.c

    def free(of: Any, at: Any) -> sa.ColumnElement[bool]:
        return sa.not_(is_held(of.org, at, of.vault, unit=SECOND))

    tx.execute(usage_parts.delete().where(p.since < parts_before, p.rolled, free(p, p.since)))
    old = _C.resolution == DAY, _C.at < days_before
    tx.execute(usage_counts.delete().where(*old, free(_C, _C.at)))
    tx.execute(usage_secrets.delete().where(s.seen_at < days_before, free(s, s.seen_at)))


def _at_day(count: UsageCount, day: int) -> dict[str, Any]:
    fields = {field: getattr(count, field) for field in count.__struct_fields__}
    return {**fields, "resolution": DAY, "at": day, "part": day}


def _merge(tx: Tx, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    insert = upsert_statement(tx, usage_counts)
    new = insert.excluded
    keys = [column.name for column in usage_counts.primary_key]
    sums = {"count": _C.count + new["count"], "failed": _C.failed + new["failed"]}
    tx.execute(insert.on_conflict_do_update(index_elements=keys, set_=sums), rows)


def _sums() -> tuple[sa.ColumnElement[int], ...]:
    """PostgreSQL sums BIGINT as NUMERIC."""
    whole = sa.BigInteger
    return (
        sa.cast(sa.func.sum(_C.count), whole).label("count"),
        sa.cast(sa.func.sum(_C.failed), whole).label("failed"),
    )


def _in_period(span: UsagePeriod, kind: UsageKind) -> list[sa.ColumnElement[bool]]:
    found = [_C.org == span.org, _C.kind == kind, _C.at >= span.since, _C.at < span.until]
    if kind is UsageKind.OPERATION and not span.system:
        found.append(_C.subject.not_in(_SYSTEM))
    return [*found, _C.vault == span.vault] if span.vault else found


def _is_named_later() -> sa.ColumnElement[bool]:
    """Whether another node of the vault has named the secret after this one."""
    t, other, node = usage_secrets.c, usage_secrets.alias(), agents.alias()
    later = sa.or_(
        other.c.seen_at > t.seen_at,
        sa.and_(other.c.seen_at == t.seen_at, other.c.vault > t.vault),
    )
    return (
        sa.select(sa.literal(1))
        .select_from(
            node.join(other, (other.c.org == node.c.org) & (other.c.vault == node.c.vault))
        )
        .where(
            *(agents.c.vault_id != "", node.c.org == t.org),
            *(node.c.vault_id == agents.c.vault_id, node.c.vault != t.vault),
            *(other.c.secret == t.secret, later),  # not secret: an opaque id
        )
        .correlate(usage_secrets, agents)
        .exists()
    )


def _reads(span: UsagePeriod) -> sa.Subquery:
    """Reads by vault and secret; of one agent alone, if it is asked for."""
    count, _ = _sums()
    of = _C.vault if span.vault else vault_key(_C.vault)
    named = usage_counts.outerjoin(agents, (agents.c.org == _C.org) & (agents.c.vault == _C.vault))
    return (
        sa.select(of.label("of"), _C.subject, count.label("reads"))
        .select_from(named)
        .where(*_in_period(span, UsageKind.SECRET))
        .group_by(of, _C.subject)
        .subquery()
    )


def _medians(reads: sa.Subquery) -> sa.Subquery:
    """The lower median of each vault's reads: no database has one that the other has, too."""
    r = reads.c
    place = sa.func.row_number().over(partition_by=r.of, order_by=(r.reads, r.subject))
    among = sa.func.count().over(partition_by=r.of)
    ranked = sa.select(r.of, r.reads, place.label("place"), among.label("among")).subquery()
    k = ranked.c
    chosen = sa.select(k.of, k.reads.label("median")).where(k.place * 2 > k.among - 1)
    return chosen.where(k.place * 2 <= k.among + 1).subquery()


def _after_cursor(
    order: Any, key: Any, vault: Any, subject: Any, after: PageCursor
) -> sa.ColumnElement[bool]:
    """Whether a row comes after `after` in this order."""
    down = order.modifier is sa.sql.operators.desc_op
    further = key < after.key if down else key > after.key
    ties = sa.or_(vault > after.vault, sa.and_(vault == after.vault, subject > after.subject))
    return sa.or_(further, sa.and_(key == after.key, ties))
