"""From notices to the channels that tell them: one step, a function of a transaction.

A notice goes in the transaction that makes its entries, so that a process that dies has done all
of it or nothing, and two that do it at once have done it once.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final, NamedTuple

from msgspec.structs import replace

from control.model.notices import MAIL_CHANNEL, Channel, Kind, LastNotice, Notice, QueuedNotice
from control.notify.delivery_schedule import due_at, is_news, is_repeat, is_urgent, is_wanted
from control.store import agents, channels, notices
from control.store.rows import Tx

NOTICES_PER_TRANSACTION: Final = 200  # notices of one transaction
QUEUE: Final = 1000  # entries of one channel
RESERVE: Final = 1000  # of urgent ones beside them


class FanOutCounts(NamedTuple):
    """What was done: notices looked at, entries made; told already; without a place."""

    notices: int
    entries: int
    repeated: int
    omitted: int


def fan_out_notices(tx: Tx, now: int) -> FanOutCounts:
    """The oldest notices become entries of channels. `now`: Unix nanoseconds."""
    found = notices.oldest_notices(tx, NOTICES_PER_TRANSACTION)
    total = FanOutCounts(len(found), 0, 0, 0)
    for org, group in groupby(sorted(found, key=lambda n: (n.org, n.at)), lambda n: n.org):
        total = _add_counts(total, _fan_out_organization(tx, org, list(group), now))
    notices.delete_notices(tx, found)
    return total


def _fan_out_organization(tx: Tx, org: str, some: list[Notice], now: int) -> FanOutCounts:
    invited = [_entry(MAIL_CHANNEL, notice, now) for notice in some if notice.kind is Kind.INVITED]
    notices.put_entries(tx, invited)
    alerts = [notice for notice in some if notice.kind is not Kind.INVITED]
    total = FanOutCounts(0, len(invited), 0, 0)
    waiting, tags = notices.waiting_entries(tx, org), _tags(tx, org, alerts)
    for channel in channels.list_channels(tx, org):
        if not channel.is_active:
            continue
        wanted = [n for n in alerts if is_wanted(channel.terms, n, tags.get(n.vault, frozenset()))]
        count, first = waiting.get(channel.id, (0, None))
        total = _add_counts(total, _ChannelQueue(channel, count, first, now).enqueue(tx, wanted))
    return total


class _ChannelQueue:
    """Of one channel, while notices are put into it."""

    def __init__(self, channel: Channel, count: int, first: int | None, now: int) -> None:
        self._channel = channel
        self._count = count
        self._first = first
        self._now = now
        self._known = self._omitted = 0

    def enqueue(self, tx: Tx, wanted: list[Notice]) -> FanOutCounts:
        channel = self._channel
        keys = {notice.key for notice in wanted}
        told = notices.get_last_notices(tx, channel.org, channel.id, keys)
        entries = list(self._entries(wanted, told))
        notices.put_entries(tx, entries)
        notices.put_last_notices(tx, (told[key] for key in sorted(keys & told.keys())))
        if self._omitted:
            channels.count_omitted(tx, channel.org, channel.id, self._omitted)
        return FanOutCounts(0, len(entries), self._known, self._omitted)

    def _entries(
        self, wanted: Iterable[Notice], told: dict[str, LastNotice]
    ) -> Iterator[QueuedNotice]:
        terms, here = self._channel.terms, (self._channel.org, self._channel.id)
        for notice in wanted:
            last = told.get(notice.key)
            if not is_news(terms, last, notice):
                continue
            if last is not None and is_repeat(last, notice, terms.window):
                told[notice.key] = replace(last, count=last.count + 1)
                self._known += 1
                continue
            room = QUEUE + (RESERVE if is_urgent(terms, notice.effective_severity) else 0)
            if self._count >= room:
                self._omitted += 1
                continue
            repeated = 0 if last is None or last.kind is not notice.kind else last.count
            told[notice.key] = LastNotice(*here, notice.key, notice.kind, notice.at, 0)
            due = due_at(terms, notice, self._now, self._first)
            self._first = due if self._first is None else min(self._first, due)
            self._count += 1
            yield _entry(self._channel.id, replace(notice, repeated=repeated), due)


def _entry(channel: str, notice: Notice, due: int) -> QueuedNotice:
    place = f"{notice.kind}/{notice.id}"
    return QueuedNotice(notice.org, channel, place, due, notice.at, notice)


def _tags(tx: Tx, org: str, some: list[Notice]) -> Mapping[str, frozenset[str]]:
    vaults = sorted({notice.vault for notice in some if notice.vault})
    return {row.vault: frozenset(row.tags) for row in agents.get_agents(tx, org, vaults)}


def _add_counts(one: FanOutCounts, other: FanOutCounts) -> FanOutCounts:
    return FanOutCounts(*(a + b for a, b in zip(one, other, strict=True)))
