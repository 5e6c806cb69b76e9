"""Notices, their entries on channels, and what each channel was sent last."""

from collections.abc import Iterable, Mapping
from typing import Final

import sqlalchemy as sa
from msgspec import Struct

from control.model.notices import LastNotice, Notice, QueuedNotice
from control.store.rows import Tx, delete_statement, fetch_all, insert_or_replace, is_one_of
from control.store.tables import alerts, entries, notices, told


class PendingNotice(Struct, frozen=True):
    """A notice as it is stored."""

    id: str
    kind: str
    org: str
    at: int
    body: Notice


_TOLD: Final = sa.select(told).where(
    told.c.org == sa.bindparam("org"),
    told.c.channel == sa.bindparam("channel"),
    is_one_of(told.c.key, "keys"),
)
_OLDEST: Final = (
    sa.select(notices)
    .order_by(notices.c.at, notices.c.id, notices.c.kind)
    .limit(sa.bindparam("most", type_=sa.Integer()))
)
_DUE_CHANNELS: Final = (
    sa.select(entries.c.org, entries.c.channel)
    .where(entries.c.due_at <= sa.bindparam("now", type_=sa.BigInteger()))
    .distinct()
    .order_by(entries.c.org, entries.c.channel)
)


def enqueue_notices(tx: Tx, *rows: Notice) -> None:
    """Have them told, if this transaction is committed; of one alert and kind the newest."""
    insert_or_replace(
        tx, notices, *(PendingNotice(row.id, str(row.kind), row.org, row.at, row) for row in rows)
    )


def oldest_notices(tx: Tx, limit: int) -> list[Notice]:
    """Those that nobody has looked at yet, the oldest first."""
    return [row.body for row in fetch_all(tx, PendingNotice, _OLDEST, most=limit)]


def delete_notices(tx: Tx, rows: Iterable[Notice]) -> None:
    """They were looked at."""
    gone = [{"of_id": row.id, "of_kind": str(row.kind)} for row in rows]
    if gone:
        tx.execute(delete_statement(notices), gone)


def get_last_notices(tx: Tx, org: str, channel: str, keys: Iterable[str]) -> dict[str, LastNotice]:
    """What a channel was told last of these alerts, by their key."""
    some = list(keys)
    rows = fetch_all(tx, LastNotice, _TOLD, org=org, channel=channel, keys=some) if some else []
    return {row.key: row for row in rows}


def put_last_notices(tx: Tx, rows: Iterable[LastNotice]) -> None:
    """Replace them."""
    insert_or_replace(tx, told, *rows)


def delete_older_last_notices(tx: Tx, before: int) -> int:
    """Forget what was told before, but of conditions whose end is still to be told; how many."""
    a = alerts.c
    key = a.code + "/" + a.vault + "/" + a.subject
    lasts = sa.or_(a.ended_at == 0, a.resolve_at > 0)
    open_ = sa.exists().where(a.org == told.c.org, key == told.c.key, lasts)
    return tx.execute(told.delete().where(told.c.at < before, sa.not_(open_))).rowcount


def put_entries(tx: Tx, rows: Iterable[QueuedNotice]) -> None:
    """Have them wait; the same twice is once."""
    insert_or_replace(tx, entries, *rows)


def waiting_entries(tx: Tx, org: str) -> dict[str, tuple[int, int]]:
    """Of each channel: how many entries wait, and when the first of them is due."""
    t = entries.c
    chosen = sa.select(t.channel, sa.func.count(), sa.func.min(t.due_at)).where(t.org == org)
    return {row[0]: (row[1], row[2]) for row in tx.execute(chosen.group_by(t.channel))}


def due_channels(tx: Tx, now: int) -> list[tuple[str, str]]:
    """Organization and channel of whatever is due."""
    return [(row[0], row[1]) for row in tx.execute(_DUE_CHANNELS, {"now": now})]


def due_entries(tx: Tx, org: str, channel: str, now: int, limit: int) -> list[QueuedNotice]:
    """What is due of a channel, as it happened."""
    t = entries.c
    mine = t.org == org, t.channel == channel, t.due_at <= now
    return fetch_all(
        tx, QueuedNotice, sa.select(entries).where(*mine).order_by(t.at, t.notice).limit(limit)
    )


def delete_entries(tx: Tx, rows: Iterable[QueuedNotice]) -> None:
    """They are in a message."""
    keys = ("org", "channel", "notice")
    gone = [{f"of_{key}": getattr(row, key) for key in keys} for row in rows]
    if gone:
        tx.execute(delete_statement(entries), gone)


def defer_entries(tx: Tx, org: str, channel: str, dues: Mapping[str, int]) -> None:
    """Have entries (by their notice) wait until another time."""
    t = entries.c
    for notice, due_at in dues.items():
        mine = t.org == org, t.channel == channel, t.notice == notice
        tx.execute(entries.update().where(*mine).values(due_at=due_at))


def delete_channel_entries(tx: Tx, org: str, channel: str) -> None:
    """Of a channel that ends."""
    for table in (entries, told):
        mine = table.c.org == org, table.c.channel == channel
        tx.execute(table.delete().where(*mine))
